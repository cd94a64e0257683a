"""Acts on cases: disagree, withdraw, judge. Each is durable when the function returns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from triage.adjudication.cases import AdjudicationCase, active_disagreements, cases_of, findings_by_name, model_label
from triage.adjudication.journal import CaseAct, CaseActKind, Contradicted, append_act, case_acts
from triage.adjudication.marks import CaseMarks
from triage.decision.decide import current_assessments
from triage.decision.records import assessment_from, decision_from
from triage.decision.types import TriageDecision
from triage.errors import TriageError
from triage.spool.store import Store
from triage.worklist.reader_acts import NotTaggedError, Via, acts_of, check_shown


class CaseRefusedError(TriageError, ValueError):
    """An act on a case is not possible; the message says why."""


class NotYourCaseError(TriageError, PermissionError):
    """An act on a case is left to another person."""


class ImagesChangedError(TriageError):
    """The images of the study that count are others than those that the person was shown."""

    def __init__(self) -> None:
        super().__init__("the study has other images since it was shown: look at them, and judge it then")


class NoCaseError(TriageError, LookupError):
    """There is no such disagreement or case."""


@dataclass(frozen=True)
class Objection:
    """A disagreement as a reader states it; see ``CaseAct``. ``finding`` empty: the study as a whole.

    ``seen``: the revision of the result that was shown; empty: not stated.
    """

    who: str
    at: float
    through: Via
    against: Contradicted
    finding: str
    label: int
    text: str
    title: str = ""
    reader: str = ""
    seen: str = ""


@dataclass(frozen=True)
class Verdict:
    """A judgement as a person states it; see ``CaseAct``. ``label`` None: it cannot be decided.

    ``seen``: ``digest_of`` the images that were shown; empty: not stated.
    """

    who: str
    at: float
    finding: str
    label: int | None
    text: str
    blinded: bool
    seen: str = ""


def study_cases(spool: Store, study_instance_uid: str) -> list[AdjudicationCase]:
    """Return the cases of a study; none for one without a result, or a silent one. Raises InvalidUIDError, OSError."""
    record = spool.decision(study_instance_uid)
    if record is None or record.get("silent"):
        return []
    acts, reading = case_acts(spool, study_instance_uid), acts_of(spool, study_instance_uid)
    return cases_of(decision_from(record), reading, acts, frozenset(counted_images(spool, study_instance_uid)))


def counted_images(spool: Store, study_instance_uid: str) -> dict[str, str]:
    """Return the images that count, the SOP Instance UID and the content digest of each."""
    every = current_assessments(assessment_from(each) for each in spool.assessments(study_instance_uid))
    return {each.sop_instance_uid: each.content_digest for each in every if each.counts}


def digest_of(images: Mapping[str, str]) -> str:
    """Return a digest of images as ``counted_images`` gives them: it says which ones a person was shown."""
    return hashlib.sha256("".join(sorted(f"{uid}+{content}\n" for uid, content in images.items())).encode()).hexdigest()


def disagree(spool: Store, study_instance_uid: str, objection: Objection) -> CaseAct:
    """Record a disagreement.

    Raises:
        NotTaggedError: there is no such study, or it has no result.
        ResultChangedError: the reader was shown another revision than the present one.
        CaseRefusedError: it contradicts nothing.
        InvalidUIDError: the UID is malformed.
        OSError: it could not be recorded.
    """
    with _decided(spool, study_instance_uid) as decision:
        check_shown(objection.seen, decision.revision)
        _check(decision, objection)
        acts = case_acts(spool, study_instance_uid)
        act = CaseAct(
            CaseActKind.DISAGREED,
            objection.at,
            objection.who,
            objection.finding,
            objection.title or findings_by_name(decision).get(objection.finding, ""),
            objection.label,
            objection.text,
            1 + max((each.number for each in acts), default=0),
            objection.against,
            objection.reader,
            decision.revision,
            decision.tag,
            objection.through,
        )
        CaseMarks(spool).open(study_instance_uid)  # first: a mark without a case costs nothing
        append_act(spool, study_instance_uid, act)
    return act


def withdraw(spool: Store, study_instance_uid: str, number: int, who: str, at: float) -> CaseAct:
    """Take one's own disagreement back. Raises as ``disagree`` does, and NoCaseError, NotYourCaseError."""
    with _decided(spool, study_instance_uid) as decision:
        stated = active_disagreements(case_acts(spool, study_instance_uid))
        found = next((each for each in stated if each.number == number), None)
        if found is None:
            raise NoCaseError(f"there is no disagreement {number} of this study, or it was withdrawn")
        if found.who != who:
            raise NotYourCaseError("a disagreement is withdrawn by the reader who stated it")
        act = CaseAct(
            CaseActKind.WITHDRAWN, at, who, found.finding, number=number, revision=decision.revision, tag=decision.tag
        )
        append_act(spool, study_instance_uid, act)
        settle(spool, study_instance_uid)
    return act


def judge(spool: Store, study_instance_uid: str, verdict: Verdict) -> CaseAct:
    """Record a judgement on the images that count now.

    Raises as ``disagree`` does, NoCaseError, NotYourCaseError for a person who is a party, and ImagesChangedError.
    """
    with _decided(spool, study_instance_uid) as decision:
        cases = {each.finding: each for each in study_cases(spool, study_instance_uid)}
        case = cases.get(verdict.finding)
        if case is None:
            raise NoCaseError("there is no such case: was the disagreement withdrawn?")
        if not case.may_judge(verdict.who):
            raise NotYourCaseError(
                "you are a party to this case, or have read this study with its result: another person judges it"
            )
        images = counted_images(spool, study_instance_uid)
        if verdict.seen and verdict.seen != digest_of(images):
            raise ImagesChangedError
        act = CaseAct(
            CaseActKind.JUDGED,
            verdict.at,
            verdict.who,
            verdict.finding,
            case.title,
            verdict.label,
            verdict.text,
            revision=decision.revision,
            tag=decision.tag,
            blinded=verdict.blinded and case.judgement is None and case.earlier is None,
            images=tuple(images),
        )
        append_act(spool, study_instance_uid, act)
        settle(spool, study_instance_uid)
    return act


def settle(spool: Store, study_instance_uid: str) -> None:
    """Mark the study by what its cases are now: to be judged, judged, or none. Raises OSError."""
    marks, cases = CaseMarks(spool), study_cases(spool, study_instance_uid)
    if not cases:
        marks.remove(study_instance_uid)
    elif all(each.judgement for each in cases):
        marks.judge(study_instance_uid)
    else:
        marks.open(study_instance_uid)


def _check(decision: TriageDecision, objection: Objection) -> None:
    if objection.against is Contradicted.MODEL and model_label(decision, objection.finding) == objection.label:
        raise CaseRefusedError("the result says the same: there is nothing to disagree with")
    if objection.against is Contradicted.READER and objection.reader.casefold() == objection.who.casefold():
        raise CaseRefusedError("you cannot disagree with yourself: withdraw what you said")


@contextmanager
def _decided(spool: Store, study_instance_uid: str) -> Iterator[TriageDecision]:
    """Hold the study's lock, and yield its decision. Raises NotTaggedError, InvalidUIDError."""
    unknown = NotTaggedError(f"no tagged study has the Study Instance UID {study_instance_uid}")
    if spool.decision(study_instance_uid) is None:  # before its lock creates a folder
        raise unknown
    with spool.study_lock(study_instance_uid):
        record = spool.decision(study_instance_uid)
        if record is None:
            raise unknown
        yield decision_from(record)
