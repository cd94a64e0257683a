"""PURE: operating points that a site has chosen, by model, finding and stratum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stratum:
    """Images that an operating point is for; empty: all. Ages in years, ``age_below`` exclusive.

    ``station``: Station Name (0008,1010), compared without case and surrounding spaces.
    """

    view: str = ""
    age_from: float = 0.0
    age_below: float = math.inf
    station: str = ""

    def has(self, image: ImageFacts) -> bool:
        """Return True if the image is in the stratum. An image of unknown age is in no age band."""
        return (
            self.view in ("", image.view)
            and (not self.has_ages or (image.age_years is not None and self._has_age(image.age_years)))
            and (not self.station or _folded(self.station) == _folded(image.station))
        )

    @property
    def has_ages(self) -> bool:
        """True if it is for an age band."""
        return self.age_from > 0 or self.age_below < math.inf

    @property
    def depth(self) -> tuple[bool, bool, bool]:
        """Its rank among strata that have the same image: the higher, the more specific."""
        return bool(self.station), self.has_ages, bool(self.view)

    def _has_age(self, age_years: float) -> bool:
        return self.age_from <= age_years < self.age_below


@dataclass(frozen=True)
class ImageFacts:
    """Facts of an image by which an operating point is chosen."""

    view: str = ""
    age_years: float | None = None
    station: str = ""


@dataclass(frozen=True)
class SitePoint:
    """One operating point of a site. ``expires_at`` in POSIX seconds, None for no end."""

    name: str
    model_digest: str
    finding: str
    threshold: float
    stratum: Stratum = Stratum()
    expires_at: float | None = None


@dataclass(frozen=True)
class SitePoints:
    """All operating points of a site."""

    points: Sequence[SitePoint] = ()

    def point_for(self, model_digest: str, finding: str, image: ImageFacts, now: float) -> SitePoint | None:
        """Return the most specific point that has not expired; None: the card's own is in force."""
        fitting = [
            each
            for each in self.points
            if (each.model_digest, each.finding) == (model_digest, finding)
            and each.stratum.has(image)
            and (each.expires_at is None or now < each.expires_at)
        ]
        return max(fitting, key=lambda each: each.stratum.depth, default=None)


def _folded(name: str) -> str:
    return name.strip().casefold()
