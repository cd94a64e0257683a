"""Patient and image of a listed study, from its files in the spool. They are never logged, queued or kept in Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset

from triage.dicom.attribute_text import text_of
from triage.errors import cause
from triage.hl7.timestamps import moment
from triage.spool.patient import naming_image
from triage.spool.store import Store
from triage.spool.study import StudyImage, read_study
from triage.worklist.patient_match import searchable

logger = logging.getLogger(__name__)

_ACQUIRED = (("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"))
_LOCATION = ("CurrentPatientLocation", "RequestingService")
_LONGEST = 256  # characters of a value: a sender may have written any number, and every listed study is kept in memory


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """Facts of a study for the list; empty, or None, where no image states them.

    ``birth_date`` is YYYYMMDD as stated. ``age_years`` in years at the acquisition. ``view``: the views of the images,
    separated by commas. ``acquired_at``: the first acquisition in POSIX seconds. ``location``: Current Patient Location
    (0038,0300), else Requesting Service (0032,1033). ``referrer``: Referring Physician's Name (0008,0090).
    ``searchable``: name and ID as a search compares them.
    """

    patient_name: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    sex: str = ""
    age_years: float | None = None
    study_description: str = ""
    view: str = ""
    acquired_at: float | None = None
    location: str = ""
    referrer: str = field(default="", repr=False)
    searchable: str = field(default="", repr=False)


UNKNOWN = StudyFacts()


def facts_of(spool: Store, study_instance_uid: str) -> StudyFacts:
    """Return the facts of a study; empty ones if its records cannot be read: the study is listed all the same."""
    try:
        known = read_study(spool, study_instance_uid)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logger.error("study %s is listed without patient: unreadable records (%s)", study_instance_uid, cause(error))
        return UNKNOWN
    return facts_in(known[1]) if known else UNKNOWN


def facts_in(images: Sequence[StudyImage]) -> StudyFacts:
    """Return the facts in images of one study: the patient's from the image that names one."""
    counted = [image.assessment for image in images if image.assessment.counts]
    views = dict.fromkeys(each.view for each in counted or [image.assessment for image in images] if each.view)
    age = next((each.age_years for each in counted if each.age_years is not None), None)
    named = naming_image(images)
    stated = _stated(named.header if named else Dataset(), [image.header for image in images if image.is_own])
    return replace(stated, view=", ".join(views), age_years=age)


def facts_of_header(header: Dataset) -> StudyFacts:
    """Return the facts that one object states; age and view are those of an assessment, and not among them."""
    names = _text(header, "PatientID") or _text(header, "PatientName")
    return _stated(header if names else Dataset(), [header])


def _stated(patient: Dataset, headers: Sequence[Dataset]) -> StudyFacts:
    name, identifier = _text(patient, "PatientName"), _text(patient, "PatientID")
    return StudyFacts(
        patient_name=name,
        patient_id=identifier,
        birth_date=_text(patient, "PatientBirthDate"),
        sex=_text(patient, "PatientSex"),
        study_description=_first(headers, ("StudyDescription", "SeriesDescription")),
        acquired_at=min((at for each in headers if (at := acquired_at(each)) is not None), default=None),
        location=_first(headers, _LOCATION),
        referrer=_first(headers, ("ReferringPhysicianName",)),
        searchable=searchable(identifier, name),
    )


def acquired_at(header: Dataset) -> float | None:
    """Return when an image was acquired, in POSIX seconds; None if it does not state at least the minute.

    From Acquisition DateTime (0008,002A), Acquisition Date and Time (0008,0022), (0008,0032), or Content Date and Time
    (0008,0023), (0008,0033), with Timezone Offset From UTC (0008,0201), else in this machine's time zone.
    """
    zone = text_of(header, "TimezoneOffsetFromUTC")
    texts = [text_of(header, "AcquisitionDateTime"), *(_both(header, *names) for names in _ACQUIRED)]
    found = (moment(text if len(text) > 5 and text[-5] in "+-" else text + zone) for text in texts if text)
    return next((at for at in found if at is not None), None)


def _both(header: Dataset, date: str, time: str) -> str:
    """Return DA and TM as DT; empty where one of them is missing."""
    day, clock = text_of(header, date), text_of(header, time)
    return day + clock if len(day) == 8 and len(clock) >= 4 else ""


def _first(headers: Sequence[Dataset], keywords: Sequence[str]) -> str:
    """Return the first keyword's value in the first header that has it, else the next keyword's."""
    return next((text for keyword in keywords for each in headers if (text := _text(each, keyword))), "")


def _text(header: Dataset, keyword: str) -> str:
    return text_of(header, keyword)[:_LONGEST]
