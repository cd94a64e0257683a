"""What a process says of itself when it starts: version and settings, in its log and its metrics."""

from __future__ import annotations

import logging

from triage.metrics.process import Metrics
from triage.runtime.release import Running
from triage.settings.reference import revision
from triage.settings.schema import Settings

logger = logging.getLogger(__name__)


def running(settings: Settings) -> Running:
    """What a process with these settings runs."""
    return Running(revision(settings))


def introduce(name: str, settings: Settings, metrics: Metrics) -> None:
    """Say what the process ``name`` runs; the worker names its models itself, once they are loaded."""
    what = running(settings)
    logger.info("%s: %s", name, what)
    metrics.describe(what.version, what.settings)
