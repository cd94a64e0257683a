"""The peers of a store in PostgreSQL and S3, for `pytest --cluster` alone (make acceptance-cluster)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the default install has no driver of PostgreSQL
    from tests.support.cluster import Cluster
    from tests.support.postgres_server import PostgresServer


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    inside = collection_path.parent.name == "cluster" and collection_path.parent.parent.name == "spool"
    return True if inside and not config.getoption("--cluster") else None


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server whose first database is empty, or has the schema of a later release (``--later-schema``)."""
    from tests.support.later_release import of_later_release, widening
    from tests.support.postgres_server import PostgresServer

    with PostgresServer() as server:
        if pytestconfig.getoption("--later-schema"):
            of_later_release(server.address("postgres"), widening(tmp_path_factory.mktemp("later") / "migrations"))
        yield server


@pytest.fixture
def cluster(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Cluster]:
    from tests.support.cluster import new_cluster

    made = new_cluster(postgres_server, tmp_path)
    yield made
    made.close()
