"""What readers do with a study: read it, and say what it is. A file in the study's folder; the index follows it.

``reading.jsonl`` in the study's folder has a line for each act: when, who, through what, and

    read      the study as ``revision`` of its decision has been read: it leaves the list, until a new image changes it
    unread    it is listed again
    label     what the reader says it is, 1 abnormal or 0 normal, beside the ``tag`` that we gave; None takes it back
    expired   the study was listed for as long as the settings say, and leaves the list like one that was read
    outdated  a report that came before the newest image: it is noted, and the study stays listed
    in_doubt  another system called it read while this machine's clock was in doubt, or though its objects are of
              several patients: it is noted, and the study stays listed until a person marks it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from triage.decision.decide import current_assessments
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from
from triage.runtime.durable import append_durably
from triage.spool.clock import Clock
from triage.spool.spool import Spool
from triage.worklist.index import Worklist

FILE = "reading.jsonl"


class Act(StrEnum):
    """What a reader did."""

    READ = "read"
    UNREAD = "unread"
    LABEL = "label"
    EXPIRED = "expired"
    OUTDATED = "outdated"
    IN_DOUBT = "in_doubt"


EARLY_REPORT = "early report"
"""Through what: a report message that came before the images."""

LEAVING = (Act.READ, Act.EXPIRED)
"""Acts that take a study off the list."""


@dataclass(frozen=True)
class ReaderAct:
    """One act. ``at`` in POSIX seconds; ``through`` is what told us: page, api, ups, report, early report, expiry.

    ``source`` names the message or the workitem that said so, so that it is taken once.
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
class ReadNotice:
    """What another system says of a study: that it was read. ``at`` is when, in POSIX seconds; see ``ReaderAct``.

    ``signed_in``: a person says so who is signed in here, and has this list before him.
    """

    at: float
    who: str
    through: str
    source: str
    signed_in: bool = False


class NotTaggedError(LookupError):
    """There is no such study, or it has no tag yet."""


def steps(spool: Spool, study_instance_uid: str) -> list[ReaderAct]:
    """Every act of every reader, oldest first."""
    try:
        lines = _file(spool, study_instance_uid).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [_step(json.loads(line)) for line in lines if line.endswith("}")]  # a crash may have cut a line


def read_step(acts: list[ReaderAct]) -> ReaderAct | None:
    """The act by which the study left the list; None if it did not. Only of the revision that it names."""
    last = next((each for each in reversed(acts) if each.act in (*LEAVING, Act.UNREAD)), None)
    return last if last and last.act in LEAVING else None


def labels(acts: list[ReaderAct]) -> dict[str, ReaderAct]:
    """What each reader says of the study, by name."""
    last = {each.who: each for each in acts if each.act is Act.LABEL}
    return {who: each for who, each in last.items() if each.label is not None}


def mark(
    spool: Spool, index: Worklist, study_instance_uid: str, act: Act, *, who: str, through: str, now: float,
    label: int | None = None,
) -> ReaderAct:  # fmt: skip
    """Note an act durably, then take the study off the list or put it back. Raises NotTaggedError, InvalidUIDError.

    RedisError says that it is noted and the list did not follow: do it again, or wait until the sweep builds it anew.
    """
    with _tagged(spool, study_instance_uid) as decision:
        step = ReaderAct(act, now, who, through, decision["revision"], decision["tag"], label)
        _note(spool, index, decision, step)
    return step


def notice(spool: Spool, index: Worklist, study_instance_uid: str, said: ReadNotice) -> tuple[ReaderAct, bool]:
    """Note durably that another system calls the study read, and take it off the list: the act, and whether it is new.

    The same notice twice is one act. What was said before the newest image came takes nothing off the list: whoever
    read the study had not seen it. Neither does what cannot be judged: when images came while the clock is in doubt, or
    of whom a study of several patients is. Raises what ``mark`` raises; after RedisError, say it again.
    """
    with _tagged(spool, study_instance_uid) as decision:
        for known in steps(spool, study_instance_uid):
            if (_told(known.through), known.source) == (said.through, said.source):
                if read_step(steps(spool, study_instance_uid)) == known:  # the list may not have followed
                    _follow(index, decision, known)
                return known, False
        act = _comes_of(spool, decision, said)
        step = ReaderAct(
            act, said.at, said.who, said.through, decision["revision"], decision["tag"], source=said.source
        )  # fmt: skip
        _note(spool, index, decision, step)
    return step, True


def notice_early(
    spool: Spool, index: Worklist, study_instance_uid: str, said: ReadNotice, covers: Callable[[], bool]
) -> ReaderAct | None:
    """Note durably that another system called the study read before it came here, and take it off the list.

    None, and nothing of it, if ``covers()`` is not so of the study as it is now, which is asked under the study's lock;
    if a reader has put the study back on the list; or if it is noted of this revision of the decision already. A late
    image that the report covers too makes it noted anew. Raises what ``mark`` raises; after RedisError, say it again.
    """
    with _tagged(spool, study_instance_uid) as decision:
        acts = steps(spool, study_instance_uid)
        for known in acts:
            if known.act is Act.READ and (known.source, known.revision) == (said.source, decision["revision"]):
                if read_step(acts) == known:  # the list may not have followed
                    _follow(index, decision, known)
                return None
        if any(each.act is Act.UNREAD for each in acts) or not covers():
            return None
        step = ReaderAct(
            Act.READ, said.at, said.who, said.through, decision["revision"], decision["tag"], source=said.source
        )  # fmt: skip
        _note(spool, index, decision, step)
    return step


def expire(spool: Spool, index: Worklist, study_instance_uid: str, before: float, now: float) -> bool:
    """Take a study off the list that was tagged last before ``before``; whether it was. Raises what ``mark`` raises."""
    with _tagged(spool, study_instance_uid) as decision:
        if decision["tagged_at"] >= before:  # a late image: it is listed anew
            return False
        last = read_step(steps(spool, study_instance_uid))
        if last and last.revision == decision["revision"]:
            _follow(index, decision, last)
            return False
        step = ReaderAct(Act.EXPIRED, now, "", "expiry", decision["revision"], decision["tag"])
        _note(spool, index, decision, step)
    return True


def _told(through: str) -> str:
    """One message is one report, whether the study was here when it came or not."""
    return "report" if through == EARLY_REPORT else through


@contextmanager
def _tagged(spool: Spool, study_instance_uid: str) -> Iterator[dict[str, Any]]:
    """The study's lock and decision. Raises NotTaggedError, InvalidUIDError."""
    unknown = NotTaggedError(f"no tagged study has the Study Instance UID {study_instance_uid}")
    if spool.decision(study_instance_uid) is None:  # before a folder is made for its lock
        raise unknown
    with spool.study_lock(study_instance_uid):
        decision = spool.decision(study_instance_uid)
        if decision is None:
            raise unknown
        yield decision


def _note(spool: Spool, index: Worklist, decision: dict[str, Any], step: ReaderAct) -> None:
    # The line break comes first, so that a line that a crash cut does not spoil the next one.
    append_durably(_file(spool, decision["study_instance_uid"]), "\n" + json.dumps(asdict(step)))
    _follow(index, decision, step)


def _follow(index: Worklist, decision: dict[str, Any], step: ReaderAct) -> None:
    """As ``follow``; the index knows nothing of a silent study."""
    if not decision.get("silent"):
        follow(index, decision["study_instance_uid"], step)


def _comes_of(spool: Spool, decision: dict[str, Any], said: ReadNotice) -> Act:
    if _newest_image(spool, decision["study_instance_uid"]) > said.at:
        return Act.OUTDATED
    several = Reason.PATIENT_MISMATCH in decision.get("reasons", ())
    if not said.signed_in and (several or Clock(spool).in_doubt()):
        return Act.IN_DOUBT
    return Act.READ


def _newest_image(spool: Spool, study_instance_uid: str) -> float:
    """When the last image that counts came, in POSIX seconds; 0 if none does."""
    images = current_assessments(assessment_from(each) for each in spool.assessments(study_instance_uid))
    return max((image.received_at for image in images if image.counts), default=0.0)


def follow(index: Worklist, study_instance_uid: str, step: ReaderAct) -> None:
    """Have the index say what was done."""
    if step.act in LEAVING:
        index.read(study_instance_uid, step.revision, step.at)
    elif step.act is Act.UNREAD:
        index.unread(study_instance_uid)


def restore(spool: Spool, index: Worklist, study_instance_uid: str) -> None:
    """Tell an index that was lost whether the study was read."""
    if step := read_step(steps(spool, study_instance_uid)):
        follow(index, study_instance_uid, step)


def all_labels(spool: Spool) -> Iterator[tuple[str, ReaderAct]]:
    """What readers said of studies: the study, and the last label of each reader. Looks through the whole spool."""
    for path in sorted(spool.studies.glob(f"*/*/{FILE}")):
        for step in labels(steps(spool, path.parent.name)).values():
            yield path.parent.name, step


def _file(spool: Spool, study_instance_uid: str) -> Path:
    return spool.study_folder(study_instance_uid) / FILE


def _step(record: dict[str, Any]) -> ReaderAct:
    return ReaderAct(**{**record, "act": Act(record["act"])})
