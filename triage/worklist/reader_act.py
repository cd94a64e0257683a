"""The acts of readers, as values: what is recorded, and what of it holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

_UNDOING = "undo "


class Act(StrEnum):
    """The kind of an act."""

    READ = "read"
    UNREAD = "unread"
    LABEL = "label"
    EXPIRED = "expired"
    OUTDATED = "outdated"
    IN_DOUBT = "in_doubt"


class Via(StrEnum):
    """The way by which an act reached us."""

    PAGE = "page"  # the worklist page
    API = "api"
    UPS = "ups"  # a workitem, ours or another manager's
    REPORT = "report"  # an HL7 report message
    EARLY_REPORT = "early report"  # one that came before the images
    EXPIRY = "expiry"  # the settings


LEAVING = (Act.READ, Act.EXPIRED)
"""Acts that remove a study from the list."""
REPORTS = (Via.REPORT, Via.EARLY_REPORT)
"""Ways of a report: it is one, whether or not it came before the study."""


@dataclass(frozen=True)
class ReaderAct:
    """One recorded act. ``at`` in POSIX seconds; ``who`` is the reader's name; ``through`` is a ``Via``.

    ``source`` identifies the message, the workitem or the press on the page, so that a repeated one is recorded once.
    An UNREAD whose source is ``undoing`` another act takes that one back, and no other.
    """

    act: Act
    at: float
    who: str
    through: str
    revision: str
    tag: str
    label: int | None = None
    source: str = ""


@dataclass(frozen=True)
class Marking:
    """An act of a person who uses this service. ``at`` in POSIX seconds; ``label`` for ``Act.LABEL``.

    ``source``: the identity of the press, empty for none. ``seen``: the revision that was shown; empty: not stated.
    """

    act: Act
    at: float
    who: str
    through: Via
    label: int | None = None
    source: str = ""
    seen: str = ""


@dataclass(frozen=True)
class ReadNotice:
    """A notice of another system that a study was read. ``at`` is when, in POSIX seconds; see ``ReaderAct``.

    ``signed_in``: it comes from a person who is signed in here and sees this list.
    """

    at: float
    who: str
    through: Via
    source: str
    signed_in: bool = False


def undoing(source: str) -> str:
    """Return the source of the act that takes back the act of this source."""
    return _UNDOING + source


def standing(acts: Sequence[ReaderAct]) -> list[ReaderAct]:
    """Return the acts without those that their reader took back, and without the taking back."""
    undone = {(each.who, each.source.removeprefix(_UNDOING)) for each in acts if _undoes(each)}
    return [each for each in acts if not _undoes(each) and (each.who, each.source) not in undone]


def leaving_act(acts: Sequence[ReaderAct]) -> ReaderAct | None:
    """Return the act by which the study left the list; None if it did not. It holds for its revision only."""
    last = next((each for each in reversed(standing(acts)) if each.act in (*LEAVING, Act.UNREAD)), None)
    return last if last and last.act in LEAVING else None


def readers_of(acts: Sequence[ReaderAct], revision: str) -> list[ReaderAct]:
    """Return the readings of this revision that hold, oldest first: those since it was last put back on the list."""
    found: list[ReaderAct] = []
    for each in standing(acts):
        if each.act is Act.UNREAD:
            found.clear()
        elif each.act is Act.READ and each.revision == revision:
            found.append(each)
    return found


def repeated(acts: Iterable[ReaderAct], marking: Marking) -> ReaderAct | None:
    """Return the recorded act of this very press; None if it is new."""
    wanted = (marking.act, marking.who, marking.source)
    return next((each for each in acts if marking.source and (each.act, each.who, each.source) == wanted), None)


def _undoes(act: ReaderAct) -> bool:
    return act.act is Act.UNREAD and act.source.startswith(_UNDOING)


def labels(acts: list[ReaderAct]) -> dict[str, ReaderAct]:
    """Return the last label of each reader, by name, without withdrawn ones."""
    last = {each.who: each for each in acts if each.act is Act.LABEL}
    return {who: each for who, each in last.items() if each.label is not None}
