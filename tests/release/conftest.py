"""The wheels, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.wheels import build_wheels

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel of the code and that of the models."""
    return build_wheels(ROOT, tmp_path_factory.mktemp("wheels"))
