"""`triage work`: score what is queued until SIGTERM."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from triage.delivery.outbox import Outbox
from triage.metrics import process as metric_names
from triage.metrics.process import Metrics
from triage.queue.score_queue import connect
from triage.queue.server_check import check_server
from triage.runtime.health import HealthServer
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.service import silence
from triage.service.deliver import prepare_destinations
from triage.service.embedded_redis import unix_address
from triage.service.models import load_sessions, model_state, not_loaded, policy_of, priority_policy
from triage.service.ready_addresses import nth_port
from triage.service.running import introduce
from triage.service.sweep import SweepMemory, reconcile
from triage.settings.schema import Settings
from triage.settings.sections import WorkerSettings
from triage.spool.clock import Clock
from triage.spool.silence import silence_text
from triage.spool.spool import Spool
from triage.spool.validation_partition import VALIDATION
from triage.worklist.index import Worklist

if TYPE_CHECKING:
    from triage.model.session import ScoringSession
    from triage.scoring.batch import BatchScorer, DecisionOutputs


logger = logging.getLogger(__name__)

_SILENT_S = 120.0


def work(settings: Settings, spool: Spool, redis_url: str, index: int) -> None:
    """Score until SIGTERM."""
    from triage.canary.wiring import canary_at_worker
    from triage.runtime.child_pool import MOST_MEMORY, DecodePool
    from triage.runtime.decode_scheduler import DecodeScheduler, decode_processes
    from triage.runtime.memory import most_memory
    from triage.scoring import worker
    from triage.scoring.batch import BatchScorer, DecisionOutputs, ScoringResources
    from triage.scoring.partitioned import PartitionedScorer
    from triage.scoring.study_decisions import DecisionRules

    stopping = StopSignal()
    registry = CollectorRegistry()
    metrics = metric_names.create(registry)
    introduce("work", settings, metrics)
    memory = settings.worker.decode_memory_bytes or most_memory() // 2
    processes = decode_processes(settings.worker.decode_processes)
    pool = DecodePool(processes, settings.worker.decode_timeout_s, min(MOST_MEMORY, memory))
    decoders = DecodeScheduler(pool, pool.processes, memory)
    senders = settings.listener.calling_ae_titles
    metrics.begin_view_checks(senders)
    pool.warm()  # before this process has threads, models and their memory
    policy = policy_of(settings)
    progress = ProgressWatch("working", _longest_batch_s(settings.worker))
    progress.failed("loading the models")
    sessions: dict[str, ScoringSession] = {}
    with (
        connect(redis_url, settings.redis.timeout_s) as client,
        HealthServer(
            registry,
            partial(_ready, progress, settings.models.shadow, sessions, spool),
            nth_port(settings.worker.metrics_port, index),
            settings.worker.metrics_host,
        ),
    ):
        sessions |= load_sessions(settings, _end_now)
        progress.failed("starting")
        own = redis_url == unix_address(settings.redis.socket_path)
        if warning := _when_reachable(lambda: check_server(client, embedded=own), stopping):
            logger.warning(warning)

        resources = ScoringResources(sessions, decoders, policy, spool.model_switches.disabled, senders)
        rules = DecisionRules(priority_policy(settings))

        def scorer_of(partition: Spool, outputs: DecisionOutputs) -> BatchScorer:
            return BatchScorer(resources, partition, outputs, rules)

        silence.begin(settings, spool, metrics)

        mark = partial(_mark_all, Outbox(spool), prepare_destinations(settings, spool))
        patients = BatchScorer(
            resources,
            spool,
            DecisionOutputs(metrics, Worklist(client).put_all, mark),
            replace(rules, silent=settings.decision.silent, clock_in_doubt=Clock(spool).in_doubt),
        )
        canary_destinations = tuple(each.name for each in settings.channels.with_canary())
        canary = canary_at_worker(scorer_of, spool, client, canary_destinations)
        scorers = PartitionedScorer(patients, {**canary, **_validation(settings, scorer_of, spool)})
        _describe_models(metrics, settings, sessions, spool)
        logger.info("working with %s", ", ".join(session.card.model_id for session in sessions.values()))
        reconcile_once = partial(reconcile, settings, spool, redis_url, metrics, SweepMemory())
        setup = worker.WorkerSetup(
            scorers, settings.worker.batch_size, settings.worker.tries, metrics, stopping, progress
        )
        worker.run(spool, setup, lambda: connect(redis_url, settings.redis.timeout_s), reconcile_once)
    decoders.close()
    pool.close()


def _ready(
    progress: ProgressWatch, shadow: Collection[str], sessions: Mapping[str, ScoringSession], spool: Spool
) -> tuple[bool, str]:
    """Not ready either while a model in service could not be loaded: one in shadow decides nothing."""
    ready, said = progress.ready()
    if ready and (missing := not_loaded(sessions) - set(shadow)):
        return False, f"{said}, but not with {', '.join(sorted(missing))}, which did not load: see the log"
    return ready, "; ".join(filter(None, (said, silence_text(spool))))


def _longest_batch_s(worker: WorkerSettings) -> float:
    """How long a worker may be silent in seconds: as long as a batch of objects that all have to be given up."""
    processes = worker.decode_processes or os.cpu_count() or 1
    return _SILENT_S + worker.decode_timeout_s * (worker.batch_size / processes + 1)


def _end_now() -> None:
    """A model hangs in one step, and nothing ends that but the end of the process. What was in work is taken up again
    by the next worker, alone, and after ten deaths given up.
    """
    logger.critical("a model does not end and cannot be stopped (worker.score_timeout_s): this worker ends")
    logging.shutdown()
    os._exit(os.EX_SOFTWARE)


def _validation(
    settings: Settings, scorer_of: Callable[[Spool, DecisionOutputs], BatchScorer], spool: Spool
) -> dict[str, BatchScorer]:
    """What scores what the validation AE title sends, by its partition: told nobody, and counted nowhere."""
    from triage.metrics.process import uncounted
    from triage.scoring.batch import DecisionOutputs

    if not settings.listener.validation_ae_title:
        return {}
    outputs = DecisionOutputs(uncounted(), index=lambda decisions: None)
    return {VALIDATION: scorer_of(spool.partition(VALIDATION), outputs)}


def _mark_all(outbox: Outbox, destinations: tuple[str, ...], study_instance_uid: str) -> None:
    for name in destinations:
        outbox.mark(study_instance_uid, name)


def _when_reachable(check: Callable[[], str], stopping: StopSignal) -> str:
    """``check()`` as soon as Redis answers: a worker that starts before its Redis waits for it."""
    from redis.exceptions import RedisError

    while not stopping.received:
        try:
            return check()
        except RedisError as error:
            logger.error("Redis does not answer (%s); waiting for it", error)
            stopping.wait(2.0)
    return ""


def _describe_models(
    metrics: Metrics, settings: Settings, sessions: Mapping[str, ScoringSession], spool: Spool
) -> None:
    for name, session in sessions.items():
        card = session.card
        metrics.model_info.labels(
            name, card.version, card.model_sha256, session.provider, settings.worker.provider
        ).set(1)
        metrics.watch_model_state(name, partial(model_state, name, settings.models, spool, not_loaded(sessions)))
