"""Settings of the audit trail."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from triage.setting_types import Section


class AuditSettings(Section):
    """Audit trail."""

    always: bool = Field(
        False, description="Write the audit trail without sign-in, too. With sign-in it is always written."
    )
    path: Path = Field(
        Path("audit/audit.xml"),
        description="File of the audit trail, mode 0600: DICOM audit messages (PS3.15 A.5), one a line. It holds "
        "Patient IDs. With store.kind = postgres+s3 lines are in the database: see copy_to_file.",
    )
    rotate_at_bytes: int = Field(
        100 * 1024**2,
        ge=4096,
        description="Bytes from which the file is renamed by the time; none is removed.",
    )
    copy_to_file: bool = Field(
        False,
        description="With store.kind = postgres+s3, where lines are in the database: also write each line into path, "
        "for a log shipper of this host. A line that cannot be written to both is not written.",
    )
    required: bool = Field(
        True,
        description="Refuse to show a patient's study while the access cannot be recorded; false shows it, and the "
        "alert fires all the same.",
    )
    source: str = Field("cxr-triage", min_length=1, max_length=64, description="Audit Source ID of this installation.")
