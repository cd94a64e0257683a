"""The acts of readers on a study: marked as read, labelled. A log of the study; the index follows it.

``reading.jsonl`` has a record for each act: time, reader, source, and

    read      the study was read as ``revision`` of its decision: it leaves the list, until a new image changes it
    unread    it is listed again; with source "undo X" the reader took back the reading X, and that alone
    label     the reader's own result, 1 abnormal or 0 normal, with the ``tag`` that we gave; None withdraws it
    expired   the study was listed for as long as the settings allow, and leaves the list like one that was read
    outdated  a report that came before the newest image: recorded, and the study stays listed
    in_doubt  another system reported it read while this machine's clock was in doubt, or although its objects are of
              several patients: recorded, and the study stays listed until a person marks it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from triage.decision.decide import current_assessments
from triage.decision.reasons import Reason
from triage.decision.records import Record, assessment_from
from triage.errors import TriageError
from triage.spool.clock import Clock
from triage.spool.store import Store
from triage.worklist.reader_act import (
    LEAVING,
    REPORTS,
    Act,
    Marking,
    ReaderAct,
    ReadNotice,
    Via,
    labels,
    leaving_act,
    repeated,
    undoing,
)
from triage.worklist.worklist import Worklist

__all__ = [
    "LONGEST_REVISION",
    "Act",
    "Marking",
    "NoSuchActError",
    "NotTaggedError",
    "ReadNotice",
    "ReaderAct",
    "ResultChangedError",
    "Via",
    "acts_of",
    "all_labels",
    "check_shown",
    "expire",
    "labels",
    "leaving_act",
    "mark",
    "record_early_notice",
    "record_notice",
    "restore",
    "undo",
    "update_index",
]

FILE = "reading.jsonl"
LONGEST_REVISION = 64
"""Hexadecimal digits of a revision."""


class NotTaggedError(TriageError, LookupError):
    """There is no study of this UID, or it has no tag yet."""


class NoSuchActError(TriageError, LookupError):
    """The reader has made no such act on this study, so there is nothing to take back."""


class ResultChangedError(TriageError):
    """The result of the study is another one than the reader was shown: an act is of what was shown."""

    def __init__(self) -> None:
        super().__init__("the result has changed since it was shown: look at the new one, and repeat it then")


def acts_of(spool: Store, study_instance_uid: str) -> list[ReaderAct]:
    """Return every act of every reader on a study, oldest first."""
    return [_act_from(record) for record in spool.study_entries(study_instance_uid).records(FILE)]


def append_act(spool: Store, study_instance_uid: str, act: ReaderAct) -> None:
    """Record an act durably; the list does not follow. Hold the study's lock. Raises OSError."""
    spool.study_entries(study_instance_uid).append(FILE, asdict(act))


def mark(spool: Store, index: Worklist, study_instance_uid: str, marking: Marking) -> ReaderAct:
    """Record an act durably, then remove the study from the list or list it again. A repeated press is one act.

    Raises:
        ResultChangedError: the reader was shown another revision than the present one; nothing is recorded.
        NotTaggedError: there is no such study, or it has no tag.
        InvalidUIDError: the UID is malformed.
        OSError: the act could not be recorded.
        RedisError: it is recorded, and the list did not follow: repeat it, or wait until the sweep rebuilds the list.
    """
    with _tagged(spool, study_instance_uid) as decision:
        if known := repeated(acts_of(spool, study_instance_uid), marking):
            _follow(spool, index, study_instance_uid)  # the list may not have followed
            return known
        check_shown(marking.seen, decision["revision"])
        act = _act_of(marking, decision)
        _record(spool, index, decision, act)
    return act


def check_shown(seen: str, revision: str) -> None:
    """Raise ResultChangedError if ``seen`` is stated and is not the present revision."""
    if seen and seen != revision:
        raise ResultChangedError


def undo(spool: Store, index: Worklist, study_instance_uid: str, marking: Marking) -> ReaderAct:
    """Take back the reading whose source is that of ``marking``, by the reader who made it, and nothing else.

    The study is listed again unless another reading of its present result holds. Raises NoSuchActError if that reader
    recorded no such act, and as ``mark`` does.
    """
    with _tagged(spool, study_instance_uid) as decision:
        acts = acts_of(spool, study_instance_uid)
        if repeated(acts, replace(marking, act=Act.READ)) is None:
            raise NoSuchActError(f"{marking.who} has not marked study {study_instance_uid} as read by this act")
        taking_back = replace(marking, act=Act.UNREAD, source=undoing(marking.source))
        act = repeated(acts, taking_back) or _act_of(taking_back, decision)
        if act not in acts:
            append_act(spool, decision["study_instance_uid"], act)
        _follow(spool, index, study_instance_uid)
    return act


def record_notice(spool: Store, index: Worklist, study_instance_uid: str, notice: ReadNotice) -> tuple[ReaderAct, bool]:
    """Record a notice durably and remove the study from the list; return the act, and whether it is new.

    A repeated notice is one act. A notice from before the newest image came removes nothing from the list: its reader
    had not seen that image. Neither does one that cannot be judged: while the clock is in doubt, the time of the images
    is unknown, and in a study of several patients it is unknown whose images were read. Raises as ``mark`` does; after
    RedisError, repeat it.
    """
    with _tagged(spool, study_instance_uid) as decision:
        for known in acts_of(spool, study_instance_uid):
            if _is_of(known, notice):
                if leaving_act(acts_of(spool, study_instance_uid)) == known:  # the list may not have followed
                    _follow(spool, index, study_instance_uid)
                return known, False
        act = _act_of_notice(_judge(spool, decision, notice), decision, notice)
        _record(spool, index, decision, act)
    return act, True


def record_early_notice(
    spool: Store, index: Worklist, study_instance_uid: str, notice: ReadNotice, covers: Callable[[], bool]
) -> ReaderAct | None:
    """Record a notice durably that came before the study, and remove the study from the list.

    Returns None and records nothing if ``covers()``, called under the study's lock, is false of the study as it is now;
    if a reader has listed the study again; or if the notice is recorded for this revision of the decision already. A
    late image that the report covers too has it recorded anew. Raises as ``mark`` does; after RedisError, repeat it.
    """
    with _tagged(spool, study_instance_uid) as decision:
        acts = acts_of(spool, study_instance_uid)
        for known in acts:
            if known.act is Act.READ and (known.source, known.revision) == (notice.source, decision["revision"]):
                if leaving_act(acts) == known:  # the list may not have followed
                    _follow(spool, index, study_instance_uid)
                return None
        if any(each.act is Act.UNREAD for each in acts) or not covers():
            return None
        act = _act_of_notice(Act.READ, decision, notice)
        _record(spool, index, decision, act)
    return act


def expire(spool: Store, index: Worklist, study_instance_uid: str, before: float, now: float) -> bool:
    """Remove a study from the list if it was last tagged before ``before``, and return whether it was.

    Times are POSIX seconds. Raises as ``mark`` does.
    """
    with _tagged(spool, study_instance_uid) as decision:
        if decision["tagged_at"] >= before:  # a late image: it is listed anew
            return False
        last = leaving_act(acts_of(spool, study_instance_uid))
        if last and last.revision == decision["revision"]:
            _follow(spool, index, study_instance_uid)
            return False
        act = ReaderAct(Act.EXPIRED, now, "", Via.EXPIRY, decision["revision"], decision["tag"])
        _record(spool, index, decision, act)
    return True


def update_index(index: Worklist, study_instance_uid: str, act: ReaderAct) -> None:
    """Remove the study from the index's list or list it again, as ``act`` says."""
    if act.act in LEAVING:
        index.read(study_instance_uid, act.revision, act.at)
    elif act.act is Act.UNREAD:
        index.unread(study_instance_uid)


def restore(spool: Store, index: Worklist, study_instance_uid: str) -> None:
    """Restore in an index that was lost whether the study was read."""
    if act := leaving_act(acts_of(spool, study_instance_uid)):
        update_index(index, study_instance_uid, act)


def all_labels(spool: Store) -> Iterator[tuple[str, ReaderAct]]:
    """Yield the last label of each reader for each study, with the study's UID. Reads the whole spool."""
    for uid in spool.studies_with(FILE):
        for act in labels(acts_of(spool, uid)).values():
            yield uid, act


@contextmanager
def _tagged(spool: Store, study_instance_uid: str) -> Iterator[Record]:
    """Hold the study's lock, and yield its decision. Raises NotTaggedError, InvalidUIDError."""
    unknown = NotTaggedError(f"no tagged study has the Study Instance UID {study_instance_uid}")
    if spool.decision(study_instance_uid) is None:  # before its lock creates a folder
        raise unknown
    with spool.study_lock(study_instance_uid):
        decision = spool.decision(study_instance_uid)
        if decision is None:
            raise unknown
        yield decision


def _act_of(marking: Marking, decision: Record) -> ReaderAct:
    of_decision = {"revision": decision["revision"], "tag": decision["tag"]}
    of_reader = {name: getattr(marking, name) for name in ("act", "at", "who", "through", "label", "source")}
    return ReaderAct(**of_reader, **of_decision)


def _record(spool: Store, index: Worklist, decision: Record, act: ReaderAct) -> None:
    uid = decision["study_instance_uid"]
    append_act(spool, uid, act)
    if act.act in (*LEAVING, Act.UNREAD):
        _follow(spool, index, uid)


def _follow(spool: Store, index: Worklist, study_instance_uid: str) -> None:
    """Have the list say what the acts say of the present result, once they are durable. Hold the study's lock.

    A list that is of the store says it in the transaction of the act.
    """
    if index.is_of_store:
        _show(spool, index, study_instance_uid)
        return
    spool.when_durable(study_instance_uid, lambda: _show(spool, index, study_instance_uid))


def _show(spool: Store, index: Worklist, study_instance_uid: str) -> None:
    decision = spool.decision(study_instance_uid)
    if decision is None or decision.get("silent"):  # removed meanwhile, or not indexed
        return
    last = leaving_act(acts_of(spool, study_instance_uid))
    if last is not None and last.revision == decision["revision"]:
        update_index(index, study_instance_uid, last)
    else:
        index.unread(study_instance_uid)


def _is_of(act: ReaderAct, notice: ReadNotice) -> bool:
    """Return whether ``act`` records this notice. A report is one, whether or not it came before the study."""
    same_way = act.through == notice.through or (act.through in REPORTS and notice.through in REPORTS)
    return same_way and act.source == notice.source


def _act_of_notice(act: Act, decision: Record, notice: ReadNotice) -> ReaderAct:
    revision, tag = decision["revision"], decision["tag"]
    return ReaderAct(act, notice.at, notice.who, notice.through, revision, tag, source=notice.source)


def _judge(spool: Store, decision: Record, notice: ReadNotice) -> Act:
    if _newest_image(spool, decision["study_instance_uid"]) > notice.at:
        return Act.OUTDATED
    several = Reason.PATIENT_MISMATCH in decision.get("reasons", ())
    if not notice.signed_in and (several or Clock(spool).in_doubt()):
        return Act.IN_DOUBT
    return Act.READ


def _newest_image(spool: Store, study_instance_uid: str) -> float:
    """Return when the last image that counts came, in POSIX seconds; 0 if none counts."""
    images = current_assessments(assessment_from(each) for each in spool.assessments(study_instance_uid))
    return max((image.received_at for image in images if image.counts), default=0.0)


def _act_from(record: Record) -> ReaderAct:
    return ReaderAct(**{**record, "act": Act(record["act"])})
