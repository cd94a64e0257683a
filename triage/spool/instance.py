"""One received object: its UIDs and the digest of its bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from triage.dicom.uid import valid_uid

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, order=True)
class ReceivedInstance:
    """One received content of an object: its UIDs, and the SHA-256 of its data set as lower-case hex."""

    study_instance_uid: str
    sop_instance_uid: str
    content_digest: str

    def __post_init__(self) -> None:
        valid_uid(self.study_instance_uid)
        valid_uid(self.sop_instance_uid)
        if not _DIGEST.fullmatch(self.content_digest):
            raise ValueError(f"not a SHA-256 in lower-case hex: {self.content_digest[:80]!r}")

    @property
    def key(self) -> str:
        """The name of this content in the spool, in the queue and in commands."""
        return f"{self.study_instance_uid}+{self.sop_instance_uid}+{self.content_digest}"

    @property
    def filed_name(self) -> str:
        """The stem of its file names in the study's folder."""
        return f"{self.sop_instance_uid}+{self.content_digest}"

    @classmethod
    def from_key(cls, key: str) -> Self:
        """Return the instance of ``key``. Raises ValueError for a malformed key."""
        parts = key.split("+")
        if len(parts) != 3:
            raise ValueError(f"not a spool key: {key[:200]!r}")
        return cls(*parts)
