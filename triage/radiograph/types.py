"""What a received object is, in DICOM's words, without who the patient is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class View(StrEnum):
    """The projection that the attributes state."""

    PA = "PA"
    AP = "AP"
    FRONTAL = "FRONTAL"  # PA or AP, which of them is not said
    LATERAL = "LATERAL"
    OTHER = "OTHER"  # oblique, decubitus, ...
    UNKNOWN = "UNKNOWN"  # nothing said, or a contradiction

    @property
    def is_frontal(self) -> bool:
        """Whether a frontal model may call it normal."""
        return self in (View.PA, View.AP, View.FRONTAL)


class Part(StrEnum):
    """The part of the body that the attributes state."""

    CHEST = "CHEST"
    OTHER = "OTHER"  # clearly another part
    UNKNOWN = "UNKNOWN"  # nothing said, words that we do not know, more than the chest, or a contradiction


@dataclass(frozen=True)
class Attributes:
    """What the tags of one object say; empty where they say nothing. No name, no patient ID.

    ``age_years`` is the age at acquisition; None where none is stated, or where ``age_doubt`` says why what is stated
    is no age. ``order_priority`` is Requested Procedure Priority (0040,1003). ``view_codes``, ``anatomy_codes``,
    ``view_modifiers`` (of the view codes) and ``position_modifiers`` (how the patient lies or stands) are code values.
    ``acquisition_date`` is YYYYMMDD. ``species`` is what is said of the patient's species, in words and code values;
    ``breed`` is what only animals have. ``damage`` is what is wrong with the data set, without a value of it, if that
    forbids to look at the pixels; unless ``whole``, the attributes are in doubt too. ``accession_issuer`` is the issuer
    of the accession number as a text, and ``patient`` what tells patients apart, as digests.
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
        """What is written of the image, not of the study: protocol, series, and its processing (0018,1400)."""
        return self.protocol_name, self.series_description, self.processing_description


@dataclass(frozen=True)
class Rejected:
    """Why an object is not scored. ``detail`` is for people and names no patient."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One image as a correct display shows it.

    ``pixels``: float32 (rows, columns), 0 black to 1 white, dense tissue bright. ``valid``: bool (rows, columns), False
    at pixel padding and outside the shutter, where ``pixels`` mean nothing.
    """

    pixels: FloatImage
    valid: Mask
