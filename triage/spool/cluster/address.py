"""The address of a store in PostgreSQL and S3, as plain values: settings fill it, the store is opened by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class DatabaseAddress:
    """A PostgreSQL database, and the times after which a statement on it is given up."""

    host: str
    database: str
    user: str
    port: int = 5432
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    tls: bool = True
    statement_timeout_s: float = 30.0
    commit_timeout_s: float = 10.0

    @property
    def name(self) -> str:
        """Host, port and database, without user and password."""
        return f"postgresql://{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True)
class BucketAddress:
    """A bucket of an S3-compatible store."""

    endpoint: str
    bucket: str
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    region: str = "us-east-1"
    ca_file: Path | None = None
    timeout_s: float = 30.0


@dataclass(frozen=True)
class ClusterAddress:
    """The address of both engines, this machine's folder for parts, and the tenant whose store it is.

    ``quota_bytes``: bytes that its objects and the database may have together; 0 for no limit of ours.
    """

    database: DatabaseAddress
    bucket: BucketAddress
    scratch: Path
    tenant: str = "default"
    upload_deadline_s: float = 600.0
    lease_s: float = 10.0
    quota_bytes: int = 0
