"""Entries of a site's file of operating points: threshold, stratum, provenance and expiry of each."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from triage.decision.operating_points import SitePoint, Stratum
from triage.model.card_finding import CardPart, FindingName, Fraction, Threshold

STATION_LASTS = timedelta(days=90)
"""The longest that a station's point holds: a lowered threshold can hide a broken detector."""
FEWEST_POSITIVE_PATIENTS = 72
"""Fewest positive patients of a stratum: with all found, the exact 95 % lower bound of sensitivity is 0.95."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_PointName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]


class PointFigure(CardPart):
    """One figure of n studies with its exact bounds."""

    value: Fraction
    low: Fraction
    high: Fraction
    n: int = Field(ge=0)


class PointCases(CardPart):
    """Cases that chose a point, or that checked it.

    ``images_sha256``: digest of their names and labels. ``images``: the first 16 hexadecimal digits of the SHA-256 of
    each image file, by which a later validation knows the cases that chose.
    """

    manifest: str
    manifest_sha256: _Digest
    images_sha256: _Digest
    split: str = ""
    studies: int = Field(ge=0)
    patients: int = Field(ge=0)
    positive_patients: int = Field(ge=0)
    negative_patients: int = Field(ge=0)
    figures: dict[str, PointFigure]
    images: tuple[str, ...] = ()


class PointProvenance(CardPart):
    """Origin of a point: who, when, by which rule, on which cases.

    ``confidence``: that of each interval, 0.95 corrected for the number of ``strata`` (Bonferroni).
    """

    by: str = Field(min_length=1)
    at: AwareDatetime
    rule: str = Field(min_length=1)
    unit: Literal["study", "image"] = "study"
    confidence: Fraction = 0.95
    strata: int = Field(1, ge=1)
    chosen_on: PointCases | None = None
    checked_on: PointCases | None = None


class PointStratum(CardPart):
    """Images that a point is for; empty: all that its parent has. Ages in years, ``age_below`` exclusive."""

    view: Literal["", "PA", "AP", "FRONTAL"] = ""
    age_from: float = Field(0.0, ge=0)
    age_below: float | None = None
    station: str = Field("", max_length=64, description="Station Name (0008,1010), without regard to case.")

    @model_validator(mode="after")
    def _has_ages(self) -> Self:
        if self.age_below is not None and self.age_below <= self.age_from:
            raise ValueError("age_below must be above age_from")
        if self.station and not self.station.strip():
            raise ValueError("station is empty: for any station leave it out")
        return self

    @property
    def stratum(self) -> Stratum:
        """The stratum as decisions know it."""
        return Stratum(
            self.view, self.age_from, math.inf if self.age_below is None else self.age_below, self.station.strip()
        )

    @property
    def words(self) -> str:
        """The stratum for people; ``all images`` for none."""
        ages = f"ages {self.age_from:g} " + ("and over" if self.age_below is None else f"to below {self.age_below:g}")
        parts = (
            f"view {self.view}" if self.view else "",
            ages if self.stratum.has_ages else "",
            f"station {self.station.strip()}" if self.station.strip() else "",
        )
        return ", ".join(filter(None, parts)) or "all images"


class PointEntry(CardPart):
    """One operating point of a model's finding, or the note that a stratum has its parent's.

    ``inherits``: instead of a threshold, the reason for having none. ``reason``: needed for a station.
    """

    name: _PointName
    model: str = Field("", description="Name and version of the model, for people; the digest counts.")
    model_sha256: _Digest
    finding: FindingName
    stratum: PointStratum = PointStratum()
    threshold: Threshold | None = None
    inherits: str = ""
    reason: str = ""
    expires: AwareDatetime | None = None
    provenance: PointProvenance

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if (self.threshold is None) != bool(self.inherits.strip()):
            raise ValueError("a point has either a threshold or, in inherits, the reason why it has its parent's")
        if self.expires is not None and self.expires <= self.provenance.at:
            raise ValueError("expires must be after provenance.at")
        if self.threshold is not None:
            self._check_evidence()
        return self

    def _check_evidence(self) -> None:
        if self.stratum.stratum.station:
            if not self.reason.strip():
                raise ValueError("a station's point needs a written reason: a low threshold can hide a bad detector")
            if self.expires is None or self.expires - self.provenance.at > STATION_LASTS:
                raise ValueError(
                    f"a station's point needs expires, at most {STATION_LASTS.days} days after it was chosen"
                )
        if self.stratum.stratum == Stratum():
            return
        checked = self.provenance.checked_on
        if checked is None or checked.positive_patients < FEWEST_POSITIVE_PATIENTS:
            raise ValueError(
                f"the point of a stratum needs provenance.checked_on with {FEWEST_POSITIVE_PATIENTS} positive patients "
                "or more; a stratum with fewer inherits its parent's point"
            )

    @property
    def site_point(self) -> SitePoint | None:
        """The point as decisions know it; None for an entry that inherits."""
        if self.threshold is None:
            return None
        expires = None if self.expires is None else self.expires.timestamp()
        return SitePoint(
            self.name, self.model_sha256, self.finding, self.threshold, self.stratum.stratum, expires_at=expires
        )
