"""Other studies of a study's patient, by Patient ID and issuer together: a number of two hospitals is two patients."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from threading import Event
from typing import Protocol

from triage.decision.identity import Issuer, PatientMarks, contradiction
from triage.decision.reasons import Reason
from triage.decision.rejection import is_wrong
from triage.decision.types import TriageDecision
from triage.dicom.attribute_text import text_of
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.spool.study import StudyImage, read_study
from triage.worklist.patient_index import marks_of
from triage.worklist.study_facts import StudyFacts, facts_in

MOST = 50
"""Studies that are returned, the newest first."""

MOST_BEARERS = 200
"""Studies that may bear an ID before it is taken for none: 0, UNKNOWN and the like stand in thousands."""


class Match(StrEnum):
    """Certainty that a study is of the same patient."""

    ISSUER = "issuer"  # the same ID of the same issuer
    ID_ALONE = "id_alone"  # the same ID, and one of both does not state an issuer


class LeftOut(StrEnum):
    """Reason why a study that bears the same ID is not shown."""

    CONTRADICTED = "contradicted"  # another birth date or name, or several patients in it
    AMBIGUOUS = "ambiguous"  # without an issuer, while several issuers use the ID


class NoPatient(StrEnum):
    """Reason why no other studies are looked for."""

    NO_ID = "no_id"
    SEVERAL_PATIENTS = "several_patients"
    NO_ONE_S_ID = "no_one_s_id"  # more studies bear it than one patient has


@dataclass(frozen=True, eq=False)
class OtherStudy:
    """Another study of the patient, with its result and what its images state."""

    decision: TriageDecision
    match: Match
    facts: StudyFacts
    study_date: str
    images: tuple[StudyImage, ...]


@dataclass(frozen=True, eq=False)
class PatientStudies:
    """Other studies of a patient, the newest first, and the number of those left out, by why.

    ``complete``: False while studies of the spool are still to be read. ``more``: studies beyond ``MOST``.
    """

    studies: tuple[OtherStudy, ...] = ()
    left_out: Mapping[LeftOut, int] = field(default_factory=dict)
    why_none: NoPatient | None = None
    more: int = 0
    complete: bool = True


class Bearers(Protocol):
    """The studies of a store by digests of their patients' IDs: candidates, whose marks are then compared."""

    def catch_up(self, at_most_s: float) -> bool:
        """Read further studies for at most ``at_most_s`` seconds; return True if all are known. Raises OSError."""

    def bearing(self, digests: Iterable[str]) -> set[str]:
        """Return the studies in which one of the IDs was found. Raises OSError."""

    def follow(self, stopping: Event) -> None:
        """Keep what is in memory like the store until ``stopping``; return at once if nothing is."""


def others(index: Bearers, spool: Store, study_instance_uid: str, at_most_s: float) -> PatientStudies:
    """Return the other tagged studies of the patient of a study. Raises OSError, InvalidUIDError.

    Reads further studies of the spool for at most ``at_most_s`` seconds, if not all are known yet.
    """
    complete = index.catch_up(at_most_s)
    ours = marks_of(spool, study_instance_uid)
    if contradiction(ours):
        return PatientStudies(why_none=NoPatient.SEVERAL_PATIENTS)
    digests = {digest for each in ours for digest, _ in each.identifiers if digest}
    if not digests:
        return PatientStudies(why_none=NoPatient.NO_ID)
    bearers = index.bearing(digests) - {study_instance_uid}
    if len(bearers) > MOST_BEARERS:
        return PatientStudies(why_none=NoPatient.NO_ONE_S_ID)
    theirs = {uid: marks_of(spool, uid) for uid in bearers}
    shared = _shared_by_issuers(digests, [*ours, *(mark for marks in theirs.values() for mark in marks)])
    found: dict[str, Match] = {}
    left_out: dict[LeftOut, int] = {}
    for uid, marks in theirs.items():
        match = matched(ours, marks, shared)
        if isinstance(match, LeftOut):
            left_out[match] = left_out.get(match, 0) + 1
        elif match is not None:
            found[uid] = match
    return _with_results(spool, found, left_out, complete=complete)


def matched(
    ours: Iterable[PatientMarks], theirs: Collection[PatientMarks], shared: Collection[str]
) -> Match | LeftOut | None:
    """Return how sure it is that two studies are of one patient, why the other must not be shown; None: not of one.

    ``shared``: digests of IDs that several issuers use.
    """
    pairs = [
        (digest, Issuer.from_text(issuer), Issuer.from_text(other))
        for mine in ours
        for digest, issuer in mine.identifiers
        for each in theirs
        for same, other in each.identifiers
        if digest and digest == same
    ]
    agreeing = [pair for pair in pairs if not pair[1].contradicts(pair[2])]
    if not agreeing:
        return None
    if contradiction([*ours, *theirs]):
        return LeftOut.CONTRADICTED
    if any(_is_known(one, other) for _, one, other in agreeing):
        return Match.ISSUER
    return LeftOut.AMBIGUOUS if all(digest in shared for digest, _, _ in agreeing) else Match.ID_ALONE


def _is_known(one: Issuer, other: Issuer) -> bool:
    """Return whether both state the issuer, in parts that can be compared."""
    both = (one.universal_id and other.universal_id) or (one.namespace and other.namespace)
    return bool(both)


def _shared_by_issuers(digests: Collection[str], marks: Iterable[PatientMarks]) -> set[str]:
    """Return the IDs for which issuers are stated that contradict each other."""
    issuers: dict[str, set[str]] = {}
    for each in marks:
        for digest, issuer in each.identifiers:
            if digest in digests:
                issuers.setdefault(digest, set()).add(issuer)
    return {digest for digest, texts in issuers.items() if _contradict(texts)}


def _contradict(texts: Iterable[str]) -> bool:
    issuers = [Issuer.from_text(text) for text in texts]
    return any(one.contradicts(other) for one, other in combinations(issuers, 2))


def _with_results(
    spool: Store, found: Mapping[str, Match], left_out: dict[LeftOut, int], *, complete: bool
) -> PatientStudies:
    studies = []
    for uid, match in found.items():
        known = read_study(spool, uid)
        if known is None:  # no result yet, or removed this moment
            continue
        decision, images = known[0], tuple(each for each in known[1] if not is_wrong(each.assessment))
        if Reason.PATIENT_MISMATCH in decision.reasons:
            left_out[LeftOut.CONTRADICTED] = left_out.get(LeftOut.CONTRADICTED, 0) + 1
            continue
        studies.append(OtherStudy(decision, match, facts_in(images), _date(images), images))
    studies.sort(key=lambda each: (each.study_date, each.decision.received_at), reverse=True)
    return PatientStudies(tuple(studies[:MOST]), left_out, None, max(len(studies) - MOST, 0), complete)


def _date(images: Iterable[StudyImage]) -> str:
    """Return Study Date (0008,0020), as stated."""
    return next((date for each in images if (date := text_of(each.header, "StudyDate")[:8])), "")


def filed_name(image: StudyImage) -> str:
    """Return the name by which an image of a study is asked for."""
    found = image.assessment
    return ReceivedInstance(found.study_instance_uid, found.sop_instance_uid, found.content_digest).filed_name
