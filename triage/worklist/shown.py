"""The record of what was shown to whom and when: figures of accuracy ask whether a tag was visible before the reading.

``shown.jsonl`` in the study's folder has a line for each look of a user at the study's result on our page:

    list   its row was on the screen for a while. That is no look at the study: the tag was in view, and no more is said
    study  the study's page was opened
    map    the activation map was laid over an image

A program that asks is no reader and leaves no line. A silent study is shown to readers nowhere; an admin who opens one
leaves a line with ``silent``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum

from triage.decision.records import Record, decision_from
from triage.spool.store import Store
from triage.worklist.reader_act import Act, standing
from triage.worklist.reader_acts import acts_of

FILE = "shown.jsonl"
_AGAIN_S = 60.0  # a page asks again and again while it is open


class Place(StrEnum):
    """The part of the page on which a result was shown."""

    LIST = "list"
    STUDY = "study"
    MAP = "map"


class Item(StrEnum):
    """A part of the result that was visible. ``ORDER``: the row's place in the reading order."""

    TAG = "tag"
    URGENCY = "urgency"
    PRIORITY = "priority"
    PROBABILITY = "probability"
    FINDINGS = "findings"
    ORDER = "order"
    MAP = "map"


ON_STUDY_PAGE = (Item.TAG, Item.URGENCY, Item.PRIORITY, Item.PROBABILITY, Item.FINDINGS)


@dataclass(frozen=True)
class Look:
    """A look of a user. ``at`` in POSIX seconds; ``revision``: the result that was shown, empty for the present one."""

    place: Place
    at: float
    who: str
    visible: tuple[Item, ...]
    revision: str = ""


@dataclass(frozen=True)
class ShownResult:
    """One line of the record: a look, with the values that were shown.

    ``read``: the study had been marked as read before, by anyone; ``own_read``: by this user.
    """

    place: Place
    at: float
    who: str
    visible: tuple[str, ...]
    revision: str
    tag: str
    urgency: str
    priority: str
    read: bool
    own_read: bool
    silent: bool = False


def shown_of(spool: Store, study_instance_uid: str) -> list[ShownResult]:
    """Return the looks of all users at a study, oldest first."""
    return list(_readable(spool.study_entries(study_instance_uid).readable(FILE)))


def record_shown(spool: Store, study_instance_uid: str, look: Look) -> bool:
    """Record a look durably, and return whether it is new.

    It is not where the study has no result of that revision. A row is one look for as long as nothing of the study has
    changed, an opening for a minute. Raises InvalidUIDError, OSError.
    """
    if spool.decision(study_instance_uid) is None:  # before its lock creates a folder
        return False
    with spool.study_lock(study_instance_uid):
        shown = _shown(spool, study_instance_uid, look)
        if shown is None or any(_repeats(each, shown) for each in shown_of(spool, study_instance_uid)):
            return False
        spool.study_entries(study_instance_uid).append(FILE, asdict(shown))
    return True


def _shown(spool: Store, uid: str, look: Look) -> ShownResult | None:
    record = _result(spool, uid, look.revision)
    if record is None:
        return None
    decision = decision_from(record)
    readers = {each.who for each in standing(acts_of(spool, uid)) if each.act is Act.READ}
    return ShownResult(
        place=look.place,
        at=look.at,
        who=look.who,
        visible=look.visible,
        revision=decision.revision,
        tag=decision.tag,
        urgency=decision.urgency,
        priority=decision.priority,
        read=bool(readers),
        own_read=look.who in readers,
        silent=decision.silent,
    )


def _result(spool: Store, uid: str, revision: str) -> Record | None:
    """Return the result of this revision, the last one of it; the present one for an empty revision."""
    present = spool.decision(uid)
    if present is None or not revision or present.get("revision") == revision:
        return present
    return next((each for each in reversed(spool.history(uid)) if each.get("revision") == revision), None)


def _repeats(known: ShownResult, shown: ShownResult) -> bool:
    names = ("place", "who", "visible", "revision", "read", "own_read")
    same = all(getattr(known, name) == getattr(shown, name) for name in names)
    return same and (shown.place is Place.LIST or abs(shown.at - known.at) < _AGAIN_S)


def _readable(records: Iterable[Record]) -> Iterator[ShownResult]:
    """Yield the records that can be read: a damaged one must not hide a study."""
    for record in records:
        with suppress(ValueError, KeyError, TypeError):
            yield ShownResult(**{**record, "place": Place(record["place"]), "visible": tuple(record["visible"])})
