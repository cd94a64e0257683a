"""Values that describe a received object in DICOM's terms, without the identity of the patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
"""Samples or stored values, of the dtype that the file or a decoder has."""


class View(StrEnum):
    """The projection that the attributes state."""

    PA = "PA"
    AP = "AP"
    FRONTAL = "FRONTAL"  # PA or AP, not stated which
    LATERAL = "LATERAL"
    OTHER = "OTHER"  # oblique, decubitus, ...
    UNKNOWN = "UNKNOWN"  # not stated, or a contradiction

    @property
    def is_frontal(self) -> bool:
        """True if a frontal model may call it normal."""
        return self in (View.PA, View.AP, View.FRONTAL)


class Part(StrEnum):
    """The part of the body that the attributes state."""

    CHEST = "CHEST"
    OTHER = "OTHER"  # clearly another part
    UNKNOWN = "UNKNOWN"  # not stated, unknown words, more than the chest, or a contradiction


@dataclass(frozen=True)
class Attributes:
    """Attributes of one object; empty where they are absent. No name, no patient ID.

    ``age_years`` is the age at acquisition; None where none is stated, or where ``age_doubt`` gives the reason why the
    stated one is not reliable. ``order_priority`` is Requested Procedure Priority (0040,1003). ``view_codes``,
    ``anatomy_codes``, ``view_modifiers`` (of the view codes) and ``position_modifiers`` (of the patient's position) are
    code values. ``acquisition_date`` is YYYYMMDD. ``species`` and ``breed`` (of animals) are texts and code values.
    ``damage`` is the fault of the data set that forbids to decode the pixels, without a value of it; unless ``whole``,
    the attributes are in doubt too. ``accession_issuer`` is the issuer of the accession number as a text, ``patient``
    has digests that distinguish patients.
    """

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    modality: str = ""
    accession_number: str = ""
    order_priority: str = ""
    body_part_examined: str = ""
    anatomy_codes: tuple[str, ...] = ()
    view_position: str = ""
    view_codes: tuple[str, ...] = ()
    view_modifiers: tuple[str, ...] = ()
    patient_position: str = ""
    position_modifiers: tuple[str, ...] = ()
    patient_orientation: tuple[str, ...] = ()
    protocol_name: str = ""
    series_description: str = ""
    processing_description: str = ""
    study_description: str = ""
    image_type: tuple[str, ...] = ()
    presentation_intent_type: str = ""
    number_of_frames: int = 1
    age_years: float | None = None
    age_doubt: str = ""
    species: tuple[str, ...] = ()
    breed: tuple[str, ...] = ()
    acquisition_date: str = ""
    station_name: str = ""
    damage: str = ""
    whole: bool = True
    accession_issuer: str = ""
    patient: PatientMarks = field(default_factory=PatientMarks)

    @property
    def descriptions(self) -> tuple[str, str, str]:
        """Descriptions of the image, not of the study: protocol, series, and its processing (0018,1400)."""
        return self.protocol_name, self.series_description, self.processing_description


@dataclass(frozen=True)
class Rejected:
    """Reason why an object is not scored. ``detail`` is for people and names no patient."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One image as a correct display shows it.

    ``pixels``: float32 (rows, columns), 0 black to 1 white, dense tissue bright. ``valid``: bool (rows, columns), False
    at pixel padding and outside the shutter, where ``pixels`` have no meaning.
    """

    pixels: FloatImage
    valid: Mask
