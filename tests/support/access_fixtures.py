"""Fixtures for tests of access in files and, with `pytest --cluster`, in a database that hosts share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.spool.conftest import postgres_server
from tests.support.access_places import Places, PlacesInDatabase, PlacesInFiles

if TYPE_CHECKING:  # the default install has no driver of PostgreSQL
    from tests.support.postgres_server import PostgresServer

__all__ = ["places", "postgres_server", "pytest_generate_tests", "shared"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of ``places`` for each implementation that is there."""
    if "kind_of_places" in metafunc.fixturenames:
        there = ["files", *["postgres"] * bool(metafunc.config.getoption("--cluster"))]
        metafunc.parametrize("kind_of_places", there)


@pytest.fixture
def places(kind_of_places: str, request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    if kind_of_places == "files":
        return PlacesInFiles(tmp_path)
    found: PlacesInDatabase = request.getfixturevalue("shared")
    return found


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> PlacesInDatabase:
    """Places in a database; a test that asks for them is left out without `--cluster` (tests/conftest.py)."""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return PlacesInDatabase(server, f"tenant-{uuid4().hex[:12]}")
