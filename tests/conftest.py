"""Fixtures that many tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from triage.spool import Spool


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool")


@pytest.fixture(scope="session")
def triage_data() -> Path:
    """The folder of real radiographs; tests that need it are skipped where it is not."""
    folder = os.environ.get("TRIAGE_DATA")
    if not folder:
        pytest.skip("real radiographs: set TRIAGE_DATA to a folder that holds them")
    return Path(folder)
