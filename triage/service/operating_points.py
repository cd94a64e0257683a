"""The site's operating points: read at start, checked against the models, and watched for their expiry."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from triage.decision.operating_points import SitePoints
from triage.scoring.watched_points import WatchedPoints
from triage.settings.sections.models import ModelSettings

if TYPE_CHECKING:
    from triage.metrics.worker import WorkerMetrics
    from triage.model.card import ModelCard
    from triage.model.points_file import PointsFile

logger = logging.getLogger(__name__)

_CLOCKS_DIFFER = timedelta(days=1)


def points_file(models: ModelSettings, cards: Mapping[str, ModelCard], *, every: bool = True) -> PointsFile:
    """Return the operating points of the settings.

    Args:
        models: The settings of the models.
        cards: The cards of the loaded models.
        every: These are all models of the site: a point of another one is refused, and not left out.

    Raises:
        StartError: The file cannot be used.
    """
    from triage.model.points_file import PointsFile, check_points, read_points

    if models.operating_points is None:
        return PointsFile()
    found = read_points(models.operating_points)
    if not every:
        found = found.of_models(card.model_sha256 for card in cards.values())
    check_points(found, cards, models.operating_points)
    return found


def watched_points(file: PointsFile, now: float) -> SitePoints:
    """Return the points that decide, and log those that have expired or soon will. ``now`` in POSIX seconds.

    A point that was chosen in the future (the clock is wrong, or its date) is left out: its parent's is in force.
    """
    from triage.model.points_file import PointsFile

    latest = datetime.fromtimestamp(now).astimezone() + _CLOCKS_DIFFER
    for each in file.entries:
        if each.provenance.at > latest:
            logger.error(
                "operating point %s of %s: provenance.at %s is in the future: the point of its parent is in force",
                *(each.name, each.finding, each.provenance.at.isoformat()),
            )
    known = PointsFile(tuple(each for each in file.entries if each.provenance.at <= latest)).points.points
    watched = WatchedPoints(known)
    watched.report(now)
    return watched


def export_points(metrics: WorkerMetrics, cards: Iterable[ModelCard], points: SitePoints) -> None:
    """Export when each point expires."""
    names = {card.model_sha256: card.name for card in cards}
    for point in points.points:
        if point.expires_at is not None:
            labels = (names.get(point.model_digest, ""), point.finding, point.name)
            metrics.point_expires.labels(*labels).set(point.expires_at)
    metrics.operating_points.set(len(points.points))


def present_points(models: ModelSettings) -> PointsFile:
    """Return the operating points of the file as it is now, for people; without any if it cannot be read."""
    from triage.model.points_file import PointsFile, PointsFileError, read_points

    if models.operating_points is None:
        return PointsFile()
    try:
        return read_points(models.operating_points)
    except PointsFileError as error:
        logger.warning("%s", error)
        return PointsFile()
