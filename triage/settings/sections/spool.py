"""Settings of the spool."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from triage.setting_types import Section


class SpoolSettings(Section):
    """Folder of everything durable, its limits and its retention."""

    path: Path = Field(
        Path("spool"),
        description="Folder of the spool; created with mode 0700. On a local disk: see the runbook, Moving the spool.",
    )
    high_water: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Fraction of the file system (bytes or inodes, the fuller) above which C-STORE gets 0xA700.",
    )
    min_free_bytes: int = Field(
        512 * 1024**2,
        ge=0,
        description="C-STORE is refused (0xA700) while fewer bytes are free, whatever the fraction.",
    )
    retention_days: float = Field(
        30.0,
        ge=0,
        description="Days after tagging until a study that has left the list is removed; 0 keeps everything.",
    )
    quarantine_days: float = Field(
        30.0,
        ge=0,
        description="Days until an object that was refused as unparsable is removed from quarantine; 0 keeps all. It "
        "has to be too old twice, a day apart, whatever the clock does.",
    )
