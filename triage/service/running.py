"""Version and settings of a process, in its log and its metrics."""

from __future__ import annotations

import logging
import threading

from triage.metrics.process import ProcessMetrics
from triage.runtime.lasting_thread import lasting_thread, unless
from triage.runtime.release import Running
from triage.settings.reference import revision
from triage.settings.schema import Settings
from triage.spool.host_clock import HostClock
from triage.spool.store import Store

logger = logging.getLogger(__name__)


def running(settings: Settings) -> Running:
    """Return the version of the program and the revision of these settings."""
    return Running(revision(settings))


def introduce(name: str, settings: Settings, metrics: ProcessMetrics) -> None:
    """Log and export the version and settings of the process ``name``; the worker adds its models, once loaded."""
    release = running(settings)
    logger.info("%s: %s", name, release)
    metrics.describe(release.version, release.settings)


def watch_clock(spool: Store, metrics: ProcessMetrics) -> HostClock:
    """Export how far this host's clock is from the store's, from now to the end of the process."""
    clock, never = HostClock(spool, metrics.clock_offset.set), threading.Event()
    if clock.is_of_hosts:
        lasting_thread("host clock", lambda: clock.follow(never), unless(never)).start()
    return clock
