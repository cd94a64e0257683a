"""The journal of a study's cases: ``adjudication.jsonl`` in the study's folder, a line for each act.

    chosen      the study was drawn for the random audit, or is one whose score is near its operating point
    disagreed   a reader contradicts the model, the report or another reader on a finding, or on the study as a whole
    withdrawn   the reader takes a disagreement back
    judged      another person says what is the case

It is durable before it is answered, and is never changed. The study goes with its journal.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass, fields
from enum import StrEnum

from triage.decision.records import Record
from triage.spool.store import Store

FILE = "adjudication.jsonl"
OTHER = "other:"
"""Prefix of the name of a finding that the model does not have."""
LONGEST_TITLE = 64
LONGEST_TEXT = 900


class CaseActKind(StrEnum):
    """The kind of an act."""

    CHOSEN = "chosen"
    DISAGREED = "disagreed"
    WITHDRAWN = "withdrawn"
    JUDGED = "judged"


class Contradicted(StrEnum):
    """The side that a reader disagrees with."""

    MODEL = "model"
    REPORT = "report"
    READER = "reader"


class ChosenBy(StrEnum):
    """The way by which a case was chosen. Only ``RANDOM`` says something of all cases."""

    RANDOM = "random"  # drawn before the result was seen
    UNCERTAINTY = "uncertainty"  # a score near its operating point
    DISAGREEMENT = "disagreement"
    TIE = "tie"  # of a reader study
    READER = "reader"  # labelled by readers who chose to, in agreement with the tag


@dataclass(frozen=True)
class CaseAct:
    """One act.

    Attributes:
        act: The kind.
        at: Time in POSIX seconds.
        who: Name of the user; empty for the service.
        finding: A finding's name in the card, ``other:`` and a text, or empty for the study as a whole.
        title: The finding's name for people.
        label: 1 present or abnormal, 0 absent or normal, None undecided.
        text: Reason.
        number: Number of a disagreement in this study, from 1.
        against: The contradicted side (``Contradicted``); ``reader``: name of a contradicted reader.
        revision: Revision of the decision; ``tag``: its tag.
        through: Way of the act (``Via``).
        blinded: The judge was not shown the result.
        images: SOP Instance UIDs of the images that were judged.
        chosen_by: The way by which the case was chosen; ``seed`` and ``fraction`` of a random draw.
    """

    act: CaseActKind
    at: float
    who: str = ""
    finding: str = ""
    title: str = ""
    label: int | None = None
    text: str = ""
    number: int = 0
    against: str = ""
    reader: str = ""
    revision: str = ""
    tag: str = ""
    through: str = ""
    blinded: bool = False
    images: tuple[str, ...] = ()
    chosen_by: str = ""
    seed: str = ""
    fraction: float = 0.0


_FIELDS = frozenset(field.name for field in fields(CaseAct))


def case_acts(spool: Store, study_instance_uid: str) -> list[CaseAct]:
    """Return every act on a study's cases, oldest first. Raises InvalidUIDError, OSError."""
    return [_act_from(record) for record in spool.study_entries(study_instance_uid).records(FILE)]


def append_act(spool: Store, study_instance_uid: str, act: CaseAct) -> None:
    """Write an act durably. Hold the study's lock. Raises OSError."""
    spool.study_entries(study_instance_uid).append(FILE, asdict(act))


def journals(spool: Store) -> list[str]:
    """Return the studies that have a journal. Reads the names of the whole spool."""
    return sorted(spool.studies_with(FILE))


def other_finding(title: str) -> str:
    """Return the name of a finding that the model does not have, the same for texts that differ in case or blanks."""
    plain = unicodedata.normalize("NFKC", title).casefold()
    return OTHER + re.sub(r"\s+", " ", plain).strip()


def _act_from(record: Record) -> CaseAct:
    known = {name: value for name, value in record.items() if name in _FIELDS}  # a later release may write more
    return CaseAct(**{**known, "act": CaseActKind(record["act"]), "images": tuple(record.get("images", ()))})
