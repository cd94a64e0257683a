"""The address of the store, from the settings."""

from __future__ import annotations

from triage.settings.schema import Settings
from triage.settings.sections.postgres import PostgresSettings
from triage.settings.sections.s3 import S3Settings
from triage.spool.cluster.address import BucketAddress, ClusterAddress, DatabaseAddress
from triage.spool.open_store import StoreAddress


def store_address(settings: Settings) -> StoreAddress:
    """Return the folder of the spool, or the engines of a store that several hosts share."""
    store = settings.store
    if store.kind == "files":
        return settings.spool.path
    return ClusterAddress(
        _database(settings.postgres),
        bucket_address(settings.s3),
        store.scratch,
        store.tenant,
        store.upload_deadline_s,
        store.lease_s,
        store.quota_bytes,
    )


def bucket_address(settings: S3Settings) -> BucketAddress:
    """Return the address of the bucket."""
    return BucketAddress(
        settings.endpoint,
        settings.bucket,
        settings.access_key.get_secret_value(),
        settings.secret_key.get_secret_value(),
        settings.region,
        settings.ca_file,
        settings.timeout_s,
    )


def _database(settings: PostgresSettings) -> DatabaseAddress:
    return DatabaseAddress(
        settings.host,
        settings.database,
        settings.user,
        settings.port,
        settings.password.get_secret_value(),
        settings.ca_file,
        settings.tls,
        settings.statement_timeout_s,
        settings.commit_timeout_s,
    )
