"""PURE: a report that came before its study, and of which study it is. Where there is any doubt it is of none.

Only what the images themselves say about when they were taken shows that the report is of them: they came after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest

from pydicom.dataset import Dataset

from triage.decision.identity import Issuer, PatientIdentifier
from triage.dicom.attribute_text import text_of
from triage.hl7.timestamps import moment
from triage.inbound_reports.matching import NONE, Issuers
from triage.inbound_reports.message import ReportedOrder

NO_ISSUER = Issuer()
_ACQUIRED = (("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"))


@dataclass(frozen=True)
class EarlyReport:
    """A report whose study is not here yet. ``at``: when it was made, ``heard_at``: when it arrived, in POSIX seconds.

    ``patients`` are digests of the patient IDs that it named, ``issuers`` who issued each, as a text, empty where it
    does not say. The only name in it is ``who``: the person who reported.
    ``accession_issuers`` are of ``accession_numbers``, in their order. ``source`` is the message.
    """

    study_instance_uid: str
    accession_numbers: tuple[str, ...]
    patients: tuple[str, ...]
    at: float
    heard_at: float
    who: str
    source: str
    issuers: tuple[str, ...] = ()
    accession_issuers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arrived:
    """A listed study.

    Attributes:
        patient: digest of its patient ID, empty if it has none.
        acquired: acquisition time of each image in POSIX seconds; None where an image has none.
        issuer: issuer of the patient ID.
        accession_issuer: issuer of the accession number.
        is_unknown: true if no object can be read that names its patient.
    """

    study_instance_uid: str
    accession_number: str
    patient: str
    acquired: tuple[float | None, ...]
    issuer: Issuer = NO_ISSUER
    accession_issuer: Issuer = NO_ISSUER
    is_unknown: bool = False


def can_be_remembered(order: ReportedOrder, accession_numbers: Collection[PatientIdentifier]) -> bool:
    """Return whether a report can be matched later: it has a Study Instance UID, or accession number and patient ID."""
    return bool(order.study_instance_uid or (accession_numbers and order.patient_ids))


def digest(patient_id: str, installation: str) -> str:
    """A patient ID as it is remembered: most reports of a hospital are of patients who never come here."""
    return sha256(f"{installation}\n{patient_id.casefold()}".encode()).hexdigest() if patient_id else ""


def covers(report: EarlyReport, study: Arrived, issuers: Issuers = NONE) -> bool:
    """Return whether a report covers a study, as the study is now.

    By Study Instance UID, if the report names one, and then by nothing else; the accession numbers, the patient IDs and
    who issued them must agree where both sides have them. Else by accession number and patient ID, both of which must
    be there and agree. Every image must say when it was taken, and none may have been taken after the report was made:
    the report of an older study with the same accession number says nothing of a new one.
    """
    taken = [moment for moment in study.acquired if moment is not None and moment <= report.at]
    if (study.is_unknown and report.patients) or not study.acquired or len(taken) < len(study.acquired):
        return False
    if report.study_instance_uid:
        return (
            report.study_instance_uid == study.study_instance_uid
            and _agree_in_one(study.accession_number, report.accession_numbers)
            and not _of_another_issuer(report, study, issuers)
            and (not study.patient or not report.patients or _names_patient(report, study, issuers))
        )
    return _names_order(report, study, issuers) and _names_patient(report, study, issuers)


def may_be_of_other(report: EarlyReport, study: Arrived, other: Arrived, issuers: Issuers = NONE) -> bool:
    """Return whether a report that covers ``study`` may be about ``other``, which has the number of another issuer.

    So it may if it is unknown of which patient the other is.
    """
    if not report.study_instance_uid and other.is_unknown:
        return _names_order(report, other, issuers)
    two = issuers.contradict(study.accession_issuer, other.accession_issuer) or issuers.contradict(
        study.issuer, other.issuer
    )
    by_number = not report.study_instance_uid
    return by_number and two and _names_order(report, other, issuers) and _names_patient(report, other, issuers)


def _of_another_issuer(report: EarlyReport, study: Arrived, issuers: Issuers) -> bool:
    """Return whether the report has the study's accession number, and each time of another issuer."""
    numbers = {study.accession_number, *study.accession_number.split("\\")}
    said = zip_longest(report.accession_numbers, report.accession_issuers, fillvalue="")
    of_it = [Issuer.from_text(issuer) for number, issuer in said if number and number in numbers]
    return bool(of_it) and all(issuers.contradict(study.accession_issuer, each) for each in of_it)


def _names_order(report: EarlyReport, study: Arrived, issuers: Issuers) -> bool:
    """Return whether one of the report's accession numbers is the study's, and not of another issuer."""
    said = zip_longest(report.accession_numbers, report.accession_issuers, fillvalue="")
    return bool(study.accession_number) and any(
        number == study.accession_number and not issuers.contradict(study.accession_issuer, Issuer.from_text(issuer))
        for number, issuer in said
    )


def _names_patient(report: EarlyReport, study: Arrived, issuers: Issuers) -> bool:
    said = zip_longest(report.patients, report.issuers, fillvalue="")
    ours = PatientIdentifier(study.patient, study.issuer)
    return any(issuers.may_be(ours, PatientIdentifier(patient, Issuer.from_text(issuer))) for patient, issuer in said)


def acquired_at(header: Dataset) -> float | None:
    """Return the latest acquisition time that an image has, in POSIX seconds, so that a wrong clock makes it no older.

    From Acquisition DateTime (0008,002A), Acquisition Date and Time (0008,0022), (0008,0032), and Content Date and Time
    (0008,0023), (0008,0033), with Timezone Offset From UTC (0008,0201), else in this machine's time zone. None if none
    of them says at least the minute.
    """
    zone = text_of(header, "TimezoneOffsetFromUTC")
    texts = [text_of(header, "AcquisitionDateTime"), *(_both(header, *names) for names in _ACQUIRED)]
    return max(_moments(texts, zone), default=None)


def _moments(texts: Iterable[str], zone: str) -> Iterable[float]:
    for text in texts:
        has_zone = len(text) > 5 and text[-5] in "+-"
        if (found := moment(text if has_zone else text + zone)) is not None:
            yield found


def _both(header: Dataset, date: str, time: str) -> str:
    """DA and TM as DT; a time without a date, or a date without one, says nothing."""
    day, clock = text_of(header, date), text_of(header, time)
    return day + clock if len(day) == 8 and len(clock) >= 4 else ""


def _agree_in_one(numbers: str, said: Collection[str]) -> bool:
    """Return whether any of several numbers, separated by backslashes, agrees."""
    return any(_agree(number, said) for number in (numbers, *filter(None, numbers.split("\\"))))


def _agree(value: str, said: Collection[str]) -> bool:
    return not value or not said or value in said
