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
    """Return the operating points of the loaded models.

    Those of versions that are installed and not loaded wait there; a point of a model that is not installed is refused.

    Args:
        models: The settings of the models.
        cards: The cards of the loaded models.
        every: These are all models that the site loads; else points of other models are left out without a look.

    Raises:
        StartError: The file cannot be used.
    """
    from triage.model.points_file import PointsFile, check_points, read_points

    if models.operating_points is None:
        return PointsFile()
    found, loaded = read_points(models.operating_points), {card.model_sha256 for card in cards.values()}
    waiting = _installed(models) - loaded if every else {each.model_sha256 for each in found.entries} - loaded
    if every and (left_out := found.of_models(waiting).entries):
        logger.info("operating points of models that are not loaded: %s", ", ".join(each.name for each in left_out))
    used = found.of_models({each.model_sha256 for each in found.entries} - waiting)
    check_points(used, cards, models.operating_points)
    return used


def _installed(models: ModelSettings) -> frozenset[str]:
    from triage.model.installed import models_folder
    from triage.model.points_file import installed_digests

    return installed_digests(models_folder(models.path))


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
