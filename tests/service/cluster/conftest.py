"""The peers of processes of several hosts, for `pytest --cluster` alone (make acceptance-cluster)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.spool.conftest import postgres_server
from tests.support.redis_server import RedisServer
from tests.support.s3_peer import KeptInMemory, s3_peer

if TYPE_CHECKING:  # the default install has no driver of PostgreSQL
    from tests.support.hosts import Hosts
    from tests.support.postgres_server import PostgresServer

__all__ = ["postgres_server"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    inside = collection_path.parent == Path(__file__).parent
    return True if inside and not config.getoption("--cluster") else None


@pytest.fixture
def hosts(postgres_server: PostgresServer, redis_server: RedisServer, tmp_path: Path) -> Iterator[Hosts]:
    """Processes of several hosts on one PostgreSQL, one Redis and a bucket in memory."""
    from tests.support.hosts import Hosts

    with s3_peer(KeptInMemory(page=1000)) as peer:
        made = Hosts(tmp_path, postgres_server.address("postgres"), peer.address, redis_server.url)
        try:
            yield made
        except AssertionError as error:
            error.add_note(made.logs())
            raise
        finally:
            made.close()
