"""Canaries at regular intervals, from a thread of sweep; metrics record the last success and failed stages."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from triage.canary.partition import last_success
from triage.canary.run import CanaryObserver, CanaryResult, CanaryRunningError, CanarySetup, PassedStage, run_canary
from triage.canary.stages import DELIVERED, STAGES, STORED
from triage.errors import cause
from triage.metrics.canary import CanaryMetrics
from triage.runtime.lasting_thread import lasting_thread, unless

logger = logging.getLogger(__name__)

_START_S = 60.0  # services that start together with this process may take so long
_JOIN_S = 10.0


@contextmanager
def scheduled(setup: CanarySetup, interval_s: float, metrics: CanaryMetrics) -> Iterator[None]:
    """Send a canary every ``interval_s`` seconds while the context is open."""
    metrics.interval.set(interval_s)
    # From the file, so that it survives a restart, and covers canaries that were sent by hand.
    metrics.last_success.set_function(lambda: last_success(setup.partition))
    for stage in (*STAGES, *(f"{DELIVERED}:{each.name}" for each in setup.destinations)):
        metrics.failures.labels(stage)  # from the start, so that the first failure is an increase
    stop = threading.Event()
    work = partial(_run_regularly, setup, interval_s, metrics, stop)
    thread = lasting_thread("canary", work, unless(stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_JOIN_S)  # what it leaves behind is removed before the next canary


def _run_regularly(setup: CanarySetup, interval_s: float, metrics: CanaryMetrics, stop: threading.Event) -> None:
    wait_s = min(_START_S, interval_s)
    while not stop.wait(wait_s):
        began = time.monotonic()
        result = _run_once(setup, metrics, stop)
        if result is not None and result.taken_for_patient:
            logger.error("no further canary is sent, so that no more of them are listed: correct it, and start again")
            return
        wait_s = max(interval_s - (time.monotonic() - began), 1.0)


def _run_once(setup: CanarySetup, metrics: CanaryMetrics, stop: threading.Event) -> CanaryResult | None:
    try:
        result = run_canary(setup, CanaryObserver(_log_stage, stop.is_set))
    except CanaryRunningError as error:
        logger.info("%s", error)
        return None
    except Exception as error:  # the edge: a full disk, or a defect; sweep goes on, and the alert fires
        logger.error("the canary could not be sent: %s", cause(error))
        metrics.failures.labels(STORED).inc()
        return None
    if result is not None:
        _count(result, metrics)
    return result


def _count(result: CanaryResult, metrics: CanaryMetrics) -> None:
    if result.succeeded:
        metrics.duration.observe(result.took_s)
        logger.info("the canary passed every stage in %.1f s", result.took_s)
    for stage, reason in result.failed_stages.items():
        metrics.failures.labels(stage).inc()
        logger.error("the canary failed: %s: %s", stage, reason)


def _log_stage(stage: PassedStage) -> None:
    logger.debug("canary: %s after %.1f s: %s", stage.name, stage.after_s, stage.detail)
