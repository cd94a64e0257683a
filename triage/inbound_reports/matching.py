"""Match a report to studies here. In doubt it matches none: no study may leave the list unread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Protocol, Self

from triage.decision.identity import Issuer, PatientIdentifier, mark
from triage.errors import TriageError
from triage.inbound_reports.message import ReportedOrder
from triage.metrics.labels import ReportOutcome

Identifiers = tuple[PatientIdentifier, ...]
"""The identifiers of one patient; each value is a digest (``decision.identity.mark``)."""


class DoubtError(TriageError):
    """It is uncertain which study a report is about. ``outcome`` is the cause in metrics, the text that in words."""

    def __init__(self, outcome: ReportOutcome, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


class Known(Protocol):
    """The studies here, as matching asks for them."""

    def is_tagged(self, study_instance_uid: str) -> bool:
        """Return whether there is a study of this UID with a decision."""

    def accession_number(self, study_instance_uid: str) -> str:
        """Return the accession number of a tagged study; empty if it has none."""

    def with_accession_number(self, accession_number: str) -> Sequence[str]:
        """Return the tagged studies with this number."""

    def accession_issuer(self, study_instance_uid: str) -> Issuer:
        """Return the issuer of the study's accession number, as far as the images have it."""

    def patient(self, study_instance_uid: str) -> Identifiers | None:
        """Return digests of the IDs of the study's patient; empty if it has none, None if that cannot be known."""

    def is_of_one_patient(self, study_instance_uid: str) -> bool:
        """Return whether all objects of a study may be of one patient."""


@dataclass(frozen=True)
class Issuers:
    """Names of one issuer in two systems: namespaces, in any case, by the name that stands for them all."""

    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, same: Iterable[str]) -> Self:
        """Read the setting: names with = between them. Raises ValueError for a text without two names."""
        names: dict[str, str] = {}
        for text in same:
            several = [name.strip().casefold() for name in text.split("=")]
            if len(several) < 2 or not all(several):
                raise ValueError(f"reports.same_issuers: {text!r} does not say NAME = NAME")
            names |= dict.fromkeys(several, several[0])
        return cls(names)

    def contradict(self, one: Issuer, other: Issuer) -> bool:
        """Return whether both are stated and differ."""
        return self._called(one).contradicts(self._called(other))

    def may_be(self, one: PatientIdentifier, other: PatientIdentifier) -> bool:
        """Return whether both can be the same identifier."""
        return replace(one, issuer=self._called(one.issuer)).may_be(replace(other, issuer=self._called(other.issuer)))

    def _called(self, issuer: Issuer) -> Issuer:
        known = self.names.get(issuer.namespace.casefold())
        # Two systems that name it otherwise number it otherwise, too.
        return issuer if known is None else Issuer(known)


NONE = Issuers()


@dataclass(frozen=True)
class Match:
    """The studies of a report; none if none is here. ``by`` is the field that matched."""

    studies: tuple[str, ...] = ()
    by: str = ""


def match(
    order: ReportedOrder,
    known: Known,
    accession_in: Sequence[str],
    issuers: Issuers = NONE,
    *,
    patient_required: bool = False,
) -> Match:
    """The studies of ``order``: by Study Instance UID, else by the first place that has an accession number of ours.

    The patient's ID must agree wherever both sides have one, and so must who issued it, and the accession number. Where
    ``patient_required``, both sides must have one, unless the UID says which study it is.
    Raises DoubtError for another patient, and for one that is unknown as no object can be read; for accession number
    and UID that contradict each other, for an accession number of several patients, and for a study whose objects are
    of several.
    """
    uid = order.study_instance_uid
    if uid and known.is_tagged(uid):
        _same_order(order, known, uid, accession_in, issuers)
        return Match(_of_patient(order, _patients(order, [uid], known), known, issuers), "Study Instance UID")
    for place in accession_in:
        issuer = order.issuers.get(place, Issuer())
        numbered = known.with_accession_number(order.identifiers.get(place, ""))
        found = [each for each in numbered if not issuers.contradict(issuer, known.accession_issuer(each))]
        if found:
            patients = _patients(order, found, known)
            named = {uid: each for uid, each in patients.items() if each or not patient_required}
            if not named:
                raise DoubtError(
                    ReportOutcome.NO_PATIENT,
                    "the study with this accession number has no Patient ID: a person has to mark it",
                )
            return Match(_of_patient(order, named, known, issuers), place)
    return Match()


def _same_order(order: ReportedOrder, known: Known, uid: str, accession_in: Sequence[str], issuers: Issuers) -> None:
    """Raise DoubtError for a Study Instance UID with the accession number of another study.

    A study with several numbers, separated by backslashes, agrees with any of them.
    """
    number = known.accession_number(uid)
    said = [place for place in accession_in if place in order.identifiers]
    same = [place for place in said if order.identifiers[place] in {number, *number.split("\\")}]
    if number and said and not same:
        raise DoubtError(
            ReportOutcome.CONTRADICTORY, "the Study Instance UID is of a study with another accession number"
        )
    ours = known.accession_issuer(uid)
    if same and all(issuers.contradict(order.issuers.get(place, Issuer()), ours) for place in same):
        raise DoubtError(
            ReportOutcome.CONTRADICTORY, "the Study Instance UID is of a study whose number another issuer gave"
        )


def _patients(order: ReportedOrder, studies: Sequence[str], known: Known) -> dict[str, Identifiers]:
    """Return the patient of each study. Raises DoubtError for one that is unknown, if the report names a patient."""
    patients = {uid: known.patient(uid) for uid in studies}
    unknown = [uid for uid, each in patients.items() if each is None]
    if unknown and order.patients:
        raise DoubtError(
            ReportOutcome.UNREADABLE,
            f"no object of study {', '.join(unknown)} that names its patient can be read, so the report cannot be "
            "compared with it: have the PACS send the study again, then the report, or mark the study on the page",
        )
    return {uid: each or () for uid, each in patients.items()}


def _of_patient(
    order: ReportedOrder, patients: Mapping[str, Identifiers], known: Known, issuers: Issuers
) -> tuple[str, ...]:
    agreeing = {uid: patient for uid, patient in patients.items() if _agrees(order, patient, issuers)}
    if not agreeing:
        raise DoubtError(
            ReportOutcome.OTHER_PATIENT,
            "the study that it names is of another patient ID, or issuer, than that of PID-3",
        )
    if not all(map(known.is_of_one_patient, agreeing)):
        raise DoubtError(
            ReportOutcome.AMBIGUOUS,
            "the study that it names has objects of several patients: a person has to look at them",
        )
    if len({(each.value, each.issuer.namespace) for patient in agreeing.values() for each in patient[:1]}) > 1:
        raise DoubtError(ReportOutcome.AMBIGUOUS, "several patients have studies with this accession number")
    _of_one_hospital(agreeing, known, issuers)
    return tuple(agreeing)


def _of_one_hospital(patients: Mapping[str, Identifiers], known: Known, issuers: Issuers) -> None:
    """Raise DoubtError where two issuers gave the same number and the report names no issuer."""
    numbered = [known.accession_issuer(uid) for uid in patients]
    identifiers = [patient for patient in patients.values() if patient]
    two_orders = any(issuers.contradict(*pair) for pair in combinations(numbered, 2))
    if two_orders or not all(_may_be_one(*pair, issuers) for pair in combinations(identifiers, 2)):
        raise DoubtError(
            ReportOutcome.AMBIGUOUS, "studies of several issuers have these numbers, and the report names no issuer"
        )


def _may_be_one(one: Sequence[PatientIdentifier], other: Sequence[PatientIdentifier], issuers: Issuers) -> bool:
    return any(issuers.may_be(ours, theirs) for ours in one for theirs in other)


def _agrees(order: ReportedOrder, patient: Identifiers, issuers: Issuers) -> bool:
    if not (order.patients and patient):
        return True
    return _may_be_one(patient, [replace(each, value=mark(each.value)) for each in order.patients], issuers)
