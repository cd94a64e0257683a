"""The choice of the store's implementation: the one place that names both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from triage.spool.cluster.address import ClusterAddress
from triage.spool.shared_database import SharedDatabase
from triage.spool.spool import Spool
from triage.spool.store import Store

if TYPE_CHECKING:  # the default install has no driver of PostgreSQL
    from triage.spool.cluster.schema import SchemaState

StoreAddress = Path | ClusterAddress
"""The folder of a store of files, or the engines of one that several hosts share."""


def open_store(address: StoreAddress) -> Store:
    """Open the store at an address, made if it is not there.

    Raises SpoolError for a place that holds another thing or another version; OSError; ModuleNotFoundError for a
    package of the extra ``cluster``.
    """
    if isinstance(address, Path):
        return Spool.open(address)
    from triage.spool.cluster.opening import open_cluster
    from triage.spool.cluster.s3_bucket import S3Bucket

    return open_cluster(address, S3Bucket(address.bucket))


def store_at(address: StoreAddress) -> Store:
    """Return the store at an address, without a look at it: there may be none (``Store.exists``).

    Raises ModuleNotFoundError for a package of the extra ``cluster``, OSError for a file of authorities.
    """
    if isinstance(address, Path):
        return Spool(address)
    from triage.spool.cluster.opening import cluster_at
    from triage.spool.cluster.s3_bucket import S3Bucket

    return cluster_at(address, S3Bucket(address.bucket))


def schema_of(address: ClusterAddress) -> SchemaState:
    """Return the schema of a store that several hosts share, and what this release would do to it. Nothing is changed.

    Raises SpoolError for a schema of a later release that this one may not use; OSError; ModuleNotFoundError for a
    package of the extra ``cluster``.
    """
    from triage.spool.cluster.schema import schema_state

    return schema_state(address.database)


def bring_to_this_release(address: ClusterAddress) -> None:
    """Apply the steps that the schema lacks. Raises what ``schema_of`` raises."""
    from triage.spool.cluster.schema import upgrade

    upgrade(address.database)


def shared_database(address: ClusterAddress) -> SharedDatabase:
    """Return the database of a store that several hosts share, for rows of no study. Nothing is connected yet.

    Raises ModuleNotFoundError for a package of the extra ``cluster``.
    """
    from triage.spool.cluster.shared_rows import shared_rows

    return shared_rows(address)
