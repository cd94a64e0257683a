"""DICOM UIDs: which may be used in a path, and UIDs derived from content."""

from __future__ import annotations

import re
import uuid
from hashlib import sha256

from triage.errors import TriageError


def uid_of(*parts: str | bytes) -> str:
    """Return a UID that is the same for the same parts: a name-based UUID under 2.25 (PS3.5 B.2)."""
    digest = sha256(b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class InvalidUIDError(TriageError, ValueError):
    """A text that is no UID, and must not be used in a path."""


def valid_uid(uid: str) -> str:
    """Return ``uid`` if it is digits and single dots, at most 64 characters (PS3.5 9.1). Raises InvalidUIDError.

    Leading zeros in a component are tolerated: real modalities send them and they are harmless in a path.
    """
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise InvalidUIDError(f"not a DICOM UID: {uid[:80]!r}")
    return uid
