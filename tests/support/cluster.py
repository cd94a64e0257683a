"""A store in a database and a bucket of a test's own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from tests.support.file_bucket import FileBucket
from tests.support.postgres_server import PostgresServer
from triage.spool.cluster.address import BucketAddress, ClusterAddress
from triage.spool.cluster.bucket import Bucket
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.opening import open_cluster


@dataclass
class Cluster:
    """The peers of one test. ``open`` gives the store of another process each time."""

    server: PostgresServer
    address: ClusterAddress
    bucket: FileBucket
    opened: list[ClusterStore] = field(default_factory=list)

    def open(self, bucket: Bucket | None = None, **others: float) -> ClusterStore:
        """The store, by another bucket or with other times if the test says so; closed with the test."""
        of_database = {name: value for name, value in others.items() if hasattr(self.address.database, name)}
        of_store = {name: value for name, value in others.items() if name not in of_database}
        database = replace(self.address.database, **of_database)  # type: ignore[arg-type]
        address = replace(self.address, database=database, **of_store)  # type: ignore[arg-type]
        store = open_cluster(address, bucket or self.bucket)
        assert isinstance(store, ClusterStore)
        self.opened.append(store)
        return store

    def rows(self, sql: str) -> list[list[object]]:
        """The rows of a query with ``:tenant``, asked past the store."""
        return self.server.run(sql, tenant=self.address.tenant)

    def keys(self) -> list[str]:
        """All keys of the bucket."""
        return sorted(self.bucket.keys(""))

    def close(self) -> None:
        """Close every store."""
        for store in self.opened:
            store.close()


def new_cluster(server: PostgresServer, folder: Path) -> Cluster:
    """A store of a tenant of its own and with an empty bucket; ``folder`` for both of this machine's parts."""
    (folder / "bucket").mkdir()
    database = server.address("postgres")
    tenant = f"tenant-{uuid4().hex[:12]}"
    address = ClusterAddress(database, BucketAddress("file:", "bucket"), folder / "scratch", tenant, lease_s=2.0)
    return Cluster(server, address, FileBucket(folder / "bucket"))
