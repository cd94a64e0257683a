"""Operating points of a site that mention their expiry in the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime

from triage.decision.operating_points import ImageFacts, SitePoint, SitePoints

logger = logging.getLogger(__name__)

WARN_BEFORE_S = 14 * 24 * 3600.0
"""How long before its end an expiring point is mentioned in the log, and by an alert."""


@dataclass(frozen=True)
class WatchedPoints(SitePoints):
    """Operating points that mention in the log, once each, that one will expire, and that it did."""

    _told: set[tuple[str, str, str, bool]] = field(default_factory=set, compare=False, repr=False)

    def point_for(self, model_digest: str, finding: str, image: ImageFacts, now: float) -> SitePoint | None:
        """Return the most specific point that has not expired; None: the card's own is in force."""
        self.report(now)
        return super().point_for(model_digest, finding, image, now)

    def report(self, now: float) -> None:
        """Log what has expired, and what will within two weeks, unless that was done. ``now`` in POSIX seconds."""
        for point in self.points:
            if point.expires_at is None or now < point.expires_at - WARN_BEFORE_S:
                continue
            expired = now >= point.expires_at
            key = (point.model_digest, point.finding, point.name, expired)
            if key not in self._told:
                self._told.add(key)
                _log(point, expired=expired)


def _log(point: SitePoint, *, expired: bool) -> None:
    assert point.expires_at is not None
    at = datetime.fromtimestamp(point.expires_at).astimezone().isoformat(timespec="minutes")
    if expired:
        logger.error(
            "operating point %s of %s expired at %s: the point of its parent is in force, which may raise more or "
            "fewer images; choose anew (triage validate --choose)",
            *(point.name, point.finding, at),
        )
    else:
        logger.warning(
            "operating point %s of %s expires at %s: choose anew before (triage validate --choose)",
            *(point.name, point.finding, at),
        )
