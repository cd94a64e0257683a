"""Lines of libraries in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from triage.runtime.library_logs import silence_libraries

NAMES = ("alembic", "sqlalchemy", "pydicom", "pynetdicom", "highdicom")


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    before = {name: logging.getLogger(name).level for name in NAMES}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize(
    ("name", "level", "told"),
    [
        ("alembic.runtime.plugins", logging.INFO, False),
        ("sqlalchemy.engine.Engine", logging.INFO, False),
        ("sqlalchemy.pool", logging.WARNING, True),
        ("pydicom", logging.WARNING, False),
        ("triage.listener", logging.INFO, True),
    ],
)
def test_who_quotes_values_says_nothing_and_who_talks_says_warnings(
    caplog: pytest.LogCaptureFixture, name: str, level: int, told: bool
) -> None:
    caplog.set_level(logging.INFO)
    silence_libraries()
    logging.getLogger(name).log(level, "a line")
    assert bool(caplog.records) is told
