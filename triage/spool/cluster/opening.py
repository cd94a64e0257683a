"""The opening of a store in PostgreSQL and a bucket: the one way in."""

from __future__ import annotations

from triage.runtime.durable import private_folder
from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.bucket import Bucket
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.rows import Engines, Scope
from triage.spool.cluster.schema import upgrade
from triage.spool.store import Store


def open_cluster(address: ClusterAddress, bucket: Bucket) -> Store:
    """Open the store at ``address``: its schema is brought to this program's version, its scratch folder is made.

    Raises SpoolError for a schema of a later release; OSError.
    """
    private_folder(address.scratch)
    upgrade(address.database)
    return cluster_at(address, bucket)


def cluster_at(address: ClusterAddress, bucket: Bucket) -> Store:
    """Return the store at ``address``, without a look at it: there may be none (``Store.exists``)."""
    return ClusterStore(Engines(address, bucket), Scope(address.tenant))
