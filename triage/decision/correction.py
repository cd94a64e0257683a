"""PURE: a correction of what was said of a study: who made it, when and why, and what it may lower."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Self

from triage.decision.rejection import wrong_abnormal, wrong_notes
from triage.decision.types import ImageAssessment, Tag, TriageDecision
from triage.decision.urgency import Urgency


class CorrectionStatus(StrEnum):
    """Kind of a correction."""

    CORRECTED = "corrected"  # another result replaces it
    WRONG = "wrong"  # it is to be disregarded, and nothing replaces it


@dataclass(frozen=True)
class Correction:
    """The act of a person, or of a rejection note for whose sender the site vouches, that corrects a study.

    Attributes:
        identifier: Digest of study, result, status, person and reason: the same act twice is one.
        status: Whether another result replaces the one that was said.
        at: When, in POSIX seconds.
        by: The person's name, or the note.
        reason: The person's words.
        revision: Revision of the decision that replaces what was said.
        urgency: Its urgency: because of this act nothing lower is delivered.
        told: Number of the last message before the act, by destination.
        account: Account of the operating system that made the act; empty for a note.
    """

    identifier: str
    status: CorrectionStatus
    at: float
    by: str
    reason: str
    revision: str
    urgency: Urgency
    told: Mapping[str, int] = field(default_factory=dict)
    account: str = ""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the correction in a JSON object. Raises ValueError, KeyError or TypeError for another one."""
        return cls(
            identifier=str(record["identifier"]),
            status=CorrectionStatus(record["status"]),
            at=float(record["at"]),
            by=str(record["by"]),
            reason=str(record["reason"]),
            revision=str(record["revision"]),
            urgency=Urgency(record["urgency"]),
            told={str(name): int(number) for name, number in record["told"].items()},
            account=str(record.get("account", "")),
        )

    def to_record(self) -> dict[str, Any]:
        """Return the correction as a JSON object."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """One sentence for messages, in ASCII: who corrected, when and why."""
        what = "Corrected" if self.status is CorrectionStatus.CORRECTED else "Wrong, to be disregarded; said"
        when = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"{what} by {plain(self.by)} on {when}: {plain(self.reason)}"


def correction_of(decision: TriageDecision, by: str, reason: str, at: float, told: Mapping[str, int]) -> Correction:
    """Return the act of a person on the present decision of a study."""
    status = CorrectionStatus.WRONG if decision.tag is Tag.NOT_ASSESSED else CorrectionStatus.CORRECTED
    parts = (decision.study_instance_uid, decision.revision, status, by, reason)
    identifier = _digest(*parts)
    return Correction(identifier, status, at, by, reason, decision.revision, decision.urgency, dict(told))


def correction_by_note(decision: TriageDecision, images: Sequence[ImageAssessment]) -> Correction | None:
    """Return the correction that vouched-for notes make: they reject as wrong what the study was raised for."""
    rejected = wrong_abnormal(images)
    notes = [each for each in wrong_notes(images, rejected) if each.rejection and each.rejection.vouched_for]
    if not notes:
        return None
    first = notes[0]
    assert first.rejection is not None
    status = CorrectionStatus.WRONG if decision.tag is Tag.NOT_ASSESSED else CorrectionStatus.CORRECTED
    return Correction(
        identifier=_digest(decision.study_instance_uid, "note", *sorted(each.sop_instance_uid for each in notes)),
        status=status,
        at=max(each.received_at for each in notes),
        by=f"rejection note {first.sop_instance_uid}",
        reason=f"{first.rejection.title} ({first.rejection.code} DCM)",
        revision=decision.revision,
        urgency=decision.urgency,
    )


def plain(text: str) -> str:
    """Return a text in printable ASCII without a backslash, which stands in every text of a message."""
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(each if each.isprintable() else " " for each in bare.replace("\\", "/")).strip()


def _digest(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:32]
