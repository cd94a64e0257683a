"""Settings of the place that holds everything durable: files of this machine, or PostgreSQL and an S3 store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from triage.setting_types import Section


class StoreSettings(Section):
    """Kind of the store, and of the second kind what its two engines do not know."""

    kind: Literal["files", "postgres+s3"] = Field(
        "files",
        description="files: the spool, on this machine. postgres+s3: a store that several hosts share, with results in "
        "the database of section postgres and objects in the bucket of section s3; it needs the extra cluster, and "
        "spool.path is not used. See docs/how-to/several-hosts.md.",
    )
    tenant: str = Field(
        "default",
        pattern=r"^[a-z0-9][a-z0-9-]{0,47}$",
        description="Name of the installation in a database and a bucket that several share; none sees another's.",
    )
    scratch: Path = Field(
        Path("scratch"),
        description="Folder of this host for objects that are being received, until they are in the bucket; created "
        "with mode 0700. It holds nothing that was acknowledged.",
    )
    quota_bytes: int = Field(
        0,
        ge=0,
        description="Bytes that objects and database may have together: spool.high_water and spool.min_free_bytes are "
        "measured against it. 0: no limit of ours, so that C-STORE is refused only when an engine refuses.",
    )
    upload_deadline_s: float = Field(
        600.0, gt=0, description="Seconds after which an object that is still being put counts as lost by a crash."
    )
    lease_s: float = Field(
        10.0, ge=2, le=300, description="Seconds after which a process of another host that is silent counts as dead."
    )
