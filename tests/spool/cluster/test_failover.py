"""A primary that dies with a synchronous standby, and a disk of the database that is full."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.spool.test_store_contract import CONTENT, A, B, receive, tag
from tests.support.cluster import Cluster, new_cluster
from tests.support.postgres_server import PostgresServer
from tests.support.small_disk import mounted
from tests.support.wait import wait_for
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.opening import open_cluster


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may kill for good."""
    with PostgresServer() as server:
        yield server


def test_what_was_acknowledged_is_there_after_a_failover(own_server: PostgresServer, tmp_path: Path):
    cluster = new_cluster(own_server, tmp_path)
    store = cluster.open()
    with own_server.standby() as standby:
        assert receive(store, A) and receive(store, B)
        tag(store, A)
        with store.workers.hold("worker-1"):
            own_server.stop(signal.SIGQUIT)
            with pytest.raises(ConnectionRefusedError):
                store.decision("1.2.3")
        standby.promote()
        database = replace(cluster.address.database, port=standby.port)
        other = open_cluster(replace(cluster.address, database=database), cluster.bucket)
        assert isinstance(other, ClusterStore)
        cluster.opened.append(other)
        assert other.is_filed(A) and other.decision("1.2.3") == {"revision": "r1"} and list(other.waiting()) == [B]
        assert other.waiting_object(B).read_bytes() == CONTENT and not receive(other, B)
        tag(other, B)
        assert other.is_filed(B) and other.installation_uid() == other.installation_uid()
        cluster.close()


def test_a_standby_can_be_read_and_takes_nothing(own_server: PostgresServer, tmp_path: Path):
    cluster = new_cluster(own_server, tmp_path)
    with own_server.standby() as standby:
        assert receive(cluster.open(), A)
        database = replace(cluster.address.database, port=standby.port)
        # A commit waits until the standby has it on its disk, not until it shows it.
        shown = "SELECT replay_lsn >= pg_current_wal_lsn() FROM pg_stat_replication"
        wait_for(lambda: own_server.run(shown) == [[True]], "the standby to show it")
        other = open_cluster(replace(cluster.address, database=database), cluster.bucket)
        assert isinstance(other, ClusterStore)
        cluster.opened.append(other)
        with pytest.raises(OSError) as caught:
            receive(other, B)
        assert caught.value.errno == errno.EROFS and not other.takes_studies()
        assert other.decision("1.2.3") is None and other.exists()
        cluster.close()


def test_a_full_disk_of_the_database_is_a_full_disk_to_the_rooms(cluster: Cluster):
    with mounted(cluster.server.folder, 4) as disk:
        shutil.chown(disk, "postgres", "postgres")
        server, name = cluster.server, cluster.server.new_database()
        database = server.address(name)
        store = open_cluster(replace(cluster.address, database=database), cluster.bucket)
        assert isinstance(store, ClusterStore)
        server.command(f"CREATE TABLESPACE small LOCATION '{disk}'")
        server.command("ALTER TABLE entry SET TABLESPACE small", name)
        with pytest.raises(OSError) as caught:
            for number in range(100):
                store.entries("place").put(str(number), os.urandom(200_000))
        assert caught.value.errno == errno.ENOSPC
        store.entries("place").put("small", "")  # and others go on
        store.close()
        server.command(f"DROP DATABASE {name}")
        server.command("DROP TABLESPACE small")
