"""A caller's statement about an image that carries no attributes: an array, a PNG or a JPEG."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from operator import index

from triage.decision.reasons import Reason
from triage.errors import TriageError

_CODE_STRING = re.compile(r"[A-Z0-9_ ]{0,16}")  # PS3.5 6.2, CS
_OLDEST_YEARS = 120.0
_DAYS_PER_YEAR = 365.25
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_ASKED_FOR = {
    Reason.AGE_UNKNOWN: "age_years",
    Reason.VIEW_UNVERIFIED: "view_position",
    Reason.BODY_PART_UNVERIFIED: "body_part_examined",
}
"""What may be asserted so that an image is not refused for this reason."""


class ImageInputError(TriageError, ValueError):
    """An image, or what is asserted of it, that cannot be taken as it was given; the message says what to change."""


@dataclass(frozen=True)
class Asserted:
    """Your statement about an array or a picture, in DICOM's words. Whatever you leave out counts as unknown.

    The texts are read as the service reads the attributes of that name: a view that is no frontal, or a part that is
    not the chest, is not scored.

    Args:
        view_position: View Position (0018,5101), as ``PA`` or ``AP``.
        age_years: The patient's age in years when the image was taken, 0 to 120. Fractions count below one year.
        body_part_examined: Body Part Examined (0018,0015), as ``CHEST``.
        photometric_interpretation: Photometric Interpretation (0028,0004): ``MONOCHROME2`` where the highest value is
            shown white, ``MONOCHROME1`` where it is shown black. An array needs it. A picture is taken as it is
            displayed unless it says ``MONOCHROME1``.
        bits_stored: Bits Stored (0028,0101) of an array: 12 for values of 0 to 4095. An array of uint16 needs it.
        station_name: Station Name (0008,1010), for models that are for the images of some stations alone.

    Raises:
        ImageInputError: A value that the attribute cannot have.

    Examples:
        >>> import triage
        >>> triage.Asserted(view_position="PA", age_years=54, body_part_examined="CHEST").age_years
        54
        >>> triage.Asserted(age_years=540)
        Traceback (most recent call last):
        ...
        triage.api.asserted.ImageInputError: age_years must be 0 to 120, not 540
    """

    view_position: str | None = None
    age_years: float | None = None
    body_part_examined: str | None = None
    photometric_interpretation: str | None = None
    bits_stored: int | None = None
    station_name: str = ""

    def __post_init__(self) -> None:
        _check_code_string("view_position", self.view_position)
        _check_code_string("body_part_examined", self.body_part_examined)
        if self.age_years is not None and not 0 <= self.age_years <= _OLDEST_YEARS:  # NaN is not
            raise ImageInputError(f"age_years must be 0 to {_OLDEST_YEARS:g}, not {self.age_years:g}")
        if self.photometric_interpretation not in (None, *_MONOCHROME):
            raise ImageInputError(f"photometric_interpretation must be {' or '.join(_MONOCHROME)}")
        if self.bits_stored is not None and not 2 <= index(self.bits_stored) <= 16:
            raise ImageInputError(f"bits_stored must be 2 to 16, not {self.bits_stored}")
        if "\\" in self.station_name or not self.station_name.isprintable() or len(self.station_name) > 16:
            raise ImageInputError("station_name must be one line of at most 16 characters, without a backslash")

    @property
    def patient_age(self) -> str:
        """The age as Patient's Age (0010,1010) has it: days below one year, else completed years; empty if unknown."""
        if self.age_years is None:
            return ""
        if self.age_years < 1:
            return f"{math.floor(self.age_years * _DAYS_PER_YEAR):03d}D"
        return f"{math.floor(self.age_years):03d}Y"

    def missing(self, reasons: tuple[Reason, ...]) -> str:
        """Return which fields to assert so that these reasons could go, in words; empty if none."""
        names = [_ASKED_FOR[reason] for reason in reasons if reason in _ASKED_FOR]
        unsaid = [name for name in names if getattr(self, name) is None]
        return f"nothing was asserted of {', '.join(unsaid)}" if unsaid else ""


def _check_code_string(name: str, value: str | None) -> None:
    if value is not None and not _CODE_STRING.fullmatch(value):
        raise ImageInputError(f"{name} must be at most 16 capitals, digits, spaces and underscores (DICOM's CS)")
