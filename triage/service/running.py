"""Version and settings of a process, in its log and its metrics."""

from __future__ import annotations

import logging

from triage.metrics.process import ProcessMetrics
from triage.runtime.release import Running
from triage.settings.reference import revision
from triage.settings.schema import Settings

logger = logging.getLogger(__name__)


def running(settings: Settings) -> Running:
    """Return the version of the program and the revision of these settings."""
    return Running(revision(settings))


def introduce(name: str, settings: Settings, metrics: ProcessMetrics) -> None:
    """Log and export the version and settings of the process ``name``; the worker adds its models, once loaded."""
    release = running(settings)
    logger.info("%s: %s", name, release)
    metrics.describe(release.version, release.settings)
