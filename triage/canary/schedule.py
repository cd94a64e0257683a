"""Canaries again and again, from a thread of the sweep: metrics say when one came out, and where others stuck."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from triage.canary.partition import last_came_out
from triage.canary.run import CanaryResult, Route, UnderWayError, fly
from triage.canary.stages import DELIVERED, STAGES, STORED
from triage.metrics.canary import CanaryMetrics

logger = logging.getLogger(__name__)

_START_S = 60.0  # what starts together with us may take so long
_END_S = 10.0


@contextmanager
def scheduled(route: Route, interval_s: float, metrics: CanaryMetrics) -> Iterator[None]:
    """While this is open, a canary flies each ``interval_s`` seconds."""
    metrics.interval.set(interval_s)
    # From the file, so that it holds across restarts, and for canaries that were sent by hand.
    metrics.last_success.set_function(lambda: last_came_out(route.partition))
    for stage in (*STAGES, *(f"{DELIVERED}:{each.name}" for each in route.destinations)):
        metrics.failures.labels(stage)  # from the start, so that the first one is an increase
    ended = threading.Event()
    thread = threading.Thread(target=_serve, args=(route, interval_s, metrics, ended), name="canary", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_END_S)  # what it leaves behind is removed before the next one


def _serve(route: Route, interval_s: float, metrics: CanaryMetrics, ended: threading.Event) -> None:
    wait_s = min(_START_S, interval_s)
    while not ended.wait(wait_s):
        began = time.monotonic()
        outcome = _flown(route, metrics, ended)
        if outcome is not None and outcome.strayed:
            logger.error("no further canary is sent, so that no more of them are listed: correct it, and start again")
            return
        wait_s = max(interval_s - (time.monotonic() - began), 1.0)


def _flown(route: Route, metrics: CanaryMetrics, ended: threading.Event) -> CanaryResult | None:
    try:
        outcome = fly(route, _note, ended.is_set)
    except UnderWayError as error:
        logger.info("%s", error)
        return None
    except Exception as error:  # the edge: a full disk, or a fault of ours; the sweep goes on, and the alert goes off
        logger.error("the canary could not be sent: %s", getattr(error, "strerror", None) or type(error).__name__)
        metrics.failures.labels(STORED).inc()
        return None
    if outcome is not None:
        _count(outcome, metrics)
    return outcome


def _count(outcome: CanaryResult, metrics: CanaryMetrics) -> None:
    if outcome.came_out:
        metrics.duration.observe(outcome.took_s)
        logger.info("the canary came out after %.1f s", outcome.took_s)
    for stage, why in outcome.stuck.items():
        metrics.failures.labels(stage).inc()
        logger.error("the canary did not come out: %s: %s", stage, why)


def _note(stage: str, seconds: float, said: str) -> None:
    logger.debug("canary: %s after %.1f s: %s", stage, seconds, said)
