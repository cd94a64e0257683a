"""`triage work`: score what is queued until SIGTERM."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from triage.errors import cause
from triage.metrics.worker import WorkerMetrics
from triage.operations.in_work import announce
from triage.queue.score_queue import connect
from triage.queue.server_check import check_server
from triage.runtime.health import Readiness
from triage.runtime.heap import return_freed_memory
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.service import silence
from triage.service.embedded_redis import unix_address
from triage.service.health import health_server
from triage.service.in_work import parts_in_work
from triage.service.models import Sessions, keep_checking, load_failures, load_sessions, model_state
from triage.service.operating_points import export_points
from triage.service.plugins import announce_plugins
from triage.service.reconciler import Reconciler
from triage.service.running import introduce, watch_clock
from triage.service.scorers import resources_of, scorers_of
from triage.service.store_probe import StoreProbe
from triage.settings.schema import Settings
from triage.settings.sections.worker import WorkerSettings
from triage.spool.silence import silence_text
from triage.spool.store import Store

if TYPE_CHECKING:
    from triage.runtime.decode_scheduler import DecodeScheduler

logger = logging.getLogger(__name__)

_SILENT_S = 120.0
_SWITCH_S = 0.0005
"""Seconds that a thread keeps the interpreter from another: a free decode process waits for the one that feeds it."""


def work(settings: Settings, spool: Store, redis_url: str, index: int) -> None:
    """Score until SIGTERM: start the decoders, load the models, work, stop the decoders."""
    from triage.runtime.process_pool import begin_server

    begin_server()  # before this process has threads, models and their memory
    from triage.scoring import worker

    sys.setswitchinterval(_SWITCH_S)
    stopping, registry = StopSignal(), CollectorRegistry()
    metrics = WorkerMetrics(registry)
    introduce("work", settings, metrics)
    watch_clock(spool, metrics)
    announce_plugins("work", settings)
    metrics.begin_view_checks(settings.listener.calling_ae_titles)
    progress = ProgressWatch("working", _longest_batch_s(settings.worker))
    progress.failed("loading the models")
    sessions: Sessions = {}
    working = partial(_ready, progress, settings.models.shadow, sessions, spool)
    with (
        _decoders(settings.worker) as decoders,
        connect(redis_url, settings.redis.timeout_s) as client,
        # Once again at once, for a connection that was idle and has ended; a Redis that is gone is told without a wait.
        connect(redis_url, settings.redis.timeout_s, Retry(NoBackoff(), 1)) as asking,
        health_server(registry, _ready_with_redis(working, asking), settings.worker, index),
    ):
        sessions |= load_sessions(settings, _end_now, partial(_count_check, metrics))
        keep_checking(sessions)
        return_freed_memory()  # the text of the graphs, and what their optimisation needed
        progress.failed("starting")
        _check_redis(client, redis_url == unix_address(settings.redis.socket_path), stopping)
        silence.begin(settings, spool, metrics)
        resources = resources_of(settings, sessions, decoders, spool, _end_now)
        scorers = scorers_of(settings, resources, spool, client, metrics)
        _describe_models(metrics, settings, sessions, spool)
        cards, points = {name: each.card for name, each in sessions.items()}, resources.policy.findings.points
        export_points(metrics, cards.values(), points)
        parts = parts_in_work(settings, cards, load_failures(sessions), points)
        limits = (settings.worker.batch_size, settings.worker.tries)
        setup = worker.WorkerSetup(scorers, *limits, metrics, stopping, progress)
        reconciler = Reconciler(settings, spool, redis_url, metrics)

        def begin(name: str) -> None:
            reconciler.repair()
            if settings.store.kind != "files":
                announce(spool, name, parts)

        worker.run(spool, setup, lambda: connect(redis_url, settings.redis.timeout_s), begin)


@contextmanager
def _decoders(settings: WorkerSettings) -> Iterator[DecodeScheduler]:
    """Start the child processes that decode, and end them at last."""
    from triage.runtime.child_pool import MOST_MEMORY, DecodePool
    from triage.runtime.decode_scheduler import DecodeScheduler, decode_processes
    from triage.runtime.memory import most_memory

    memory = settings.decode_memory_bytes or most_memory() // 2
    pool = DecodePool(decode_processes(settings.decode_processes), settings.decode_timeout_s, min(MOST_MEMORY, memory))
    decoders = DecodeScheduler(pool, pool.processes, memory)
    try:
        pool.warm()
        yield decoders
    finally:
        decoders.close()
        pool.close()


def _ready(progress: ProgressWatch, shadow: Collection[str], sessions: Sessions, spool: Store) -> tuple[bool, str]:
    """Return whether the worker works with every model in service, and why not; one in shadow decides nothing."""
    ready, status = progress.ready()
    if ready and (missing := load_failures(sessions).keys() - set(shadow)):
        why = "which did not load, or whose server does not give the known answers: see the log"
        return False, f"{status}, but not with {', '.join(sorted(missing))}, {why}"
    return ready, "; ".join(filter(None, (status, silence_text(spool))))


def _ready_with_redis(working: Readiness, client: Redis) -> Readiness:
    """Return ``working`` that also asks Redis: in its wait for a job a worker notices one that is silent late.

    Asked when readiness is, so that an idle worker is woken no more often.
    """
    probe = StoreProbe(partial(_why_no_redis, client), name="Redis")

    def ready() -> tuple[bool, str]:
        is_ready, status = working()
        why = probe.why() if is_ready else ""
        return (False, f"{why}: nothing is scored") if why else (is_ready, status)

    return ready


def _why_no_redis(client: Redis) -> str:
    from redis.exceptions import RedisError

    try:
        client.ping()
    except RedisError as error:
        return f"Redis does not answer ({cause(error)})"
    return ""


def _longest_batch_s(worker: WorkerSettings) -> float:
    """Return for how many seconds a worker may make no progress: a batch of objects that all have to be given up."""
    processes = worker.decode_processes or os.cpu_count() or 1
    return _SILENT_S + worker.decode_timeout_s * (worker.batch_size / processes + 1)


def _end_now() -> None:
    """End the process: a model hangs in one step, and nothing else ends that.

    The next worker takes up again what was in work, object by object, and gives up after ten deaths.
    """
    logger.critical(
        "a model or a rule does not end and cannot be stopped (worker.score_timeout_s, plugins.rule_timeout_s): this "
        "worker ends"
    )
    logging.shutdown()
    os._exit(os.EX_SOFTWARE)


def _check_redis(client: Redis, embedded: bool, stopping: StopSignal) -> None:
    """Wait until Redis answers, and log what is wrong with its version or its settings."""
    if warning := _when_reachable(lambda: check_server(client, embedded=embedded), stopping):
        logger.warning(warning)


def _when_reachable(check: Callable[[], str], stopping: StopSignal) -> str:
    """Return ``check()`` as soon as Redis answers: a worker that starts before its Redis waits for it."""
    from redis.exceptions import RedisError

    while not stopping.received:
        try:
            return check()
        except RedisError as error:
            logger.error("Redis does not answer (%s); waiting for it", error)
            stopping.wait(2.0)
    return ""


def _count_check(metrics: WorkerMetrics, name: str, outcome: str) -> None:
    metrics.known_answers.labels(name, outcome).inc()


def _describe_models(metrics: WorkerMetrics, settings: Settings, sessions: Sessions, spool: Store) -> None:
    """Export and log the models that were loaded."""
    for name, session in sessions.items():
        card = session.card
        labels = (name, card.version, card.model_sha256, session.provider, settings.worker.provider)
        metrics.model_info.labels(*labels).set(1)
        metrics.watch_model_state(name, partial(model_state, name, settings.models, spool, session))
    logger.info("working with %s", ", ".join(session.card.model_id for session in sessions.values()))
