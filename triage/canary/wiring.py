"""The canary's part in each process of the service. Each function imports only what its process needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from triage.canary.partition import CANARY, is_registered
from triage.delivery.outbox import Outbox
from triage.metrics.canary import CanaryMetrics
from triage.metrics.delivery import DeliveryMetrics
from triage.metrics.worker import WorkerMetrics
from triage.queue.score_queue import PartitionedInstance, ScoreQueue, connect
from triage.settings.schema import Settings
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store

if TYPE_CHECKING:
    from triage.canary.run import CanarySetup
    from triage.decision.types import TriageDecision
    from triage.delivery.deliverer import Deliverer, DestinationLoop
    from triage.listener.storage import CanaryRoute
    from triage.scoring.batch import BatchScorer
    from triage.scoring.decision_outputs import DecisionOutputs
    from triage.worklist.worklist import Worklist


def canary_at_listener(ae_title: str, spool: Store) -> CanaryRoute:
    """Return the listener's route for canaries, into their partition."""
    from triage.listener.storage import CanaryRoute, uncounted_target

    partition = spool.partition(CANARY)
    return CanaryRoute.to(ae_title, uncounted_target(partition, CANARY), partial(is_registered, partition))


def canary_at_worker(
    make_scorer: Callable[[Store, DecisionOutputs], BatchScorer],
    spool: Store,
    worklist: Callable[[Store], Worklist],
    destinations: Sequence[str],
) -> dict[str, BatchScorer]:
    """Return the scorer of canaries, by partition. ``destinations`` are the names of those with ``canary = true``."""
    from triage.scoring.decision_outputs import DecisionOutputs

    partition = spool.partition(CANARY)
    index = worklist(partition)
    outbox = Outbox(partition)

    def rehearse(decisions: Sequence[TriageDecision]) -> None:
        for decision in decisions:
            index.rehearse(decision)

    def mark(study_instance_uid: str) -> None:
        outbox.prepare(destinations)  # now, and not at the start: the folder may have been removed and created again
        for name in destinations:
            outbox.mark(study_instance_uid, name)

    return {CANARY: make_scorer(partition, DecisionOutputs(WorkerMetrics(), rehearse, mark))}


def canary_at_deliverer(patients: Deliverer) -> DestinationLoop:
    """Return the loop of a destination that delivers canaries too."""
    from triage.canary.delivery import CanaryOutbox, DeliveryWithCanary
    from triage.delivery.deliverer import Deliverer

    partition = patients.spool.partition(CANARY)
    outbox = CanaryOutbox(partition, patients.outbox)  # the worker creates its folders, with its first mark
    at_once = patients.destination.model_copy(update={"delay_s": 0.0})  # no further image comes
    metrics = DeliveryMetrics()
    canary = Deliverer(
        partition, outbox, at_once, patients.channel, metrics, patients.stopping, patients.now, test=True
    )
    return DeliveryWithCanary(patients, canary)


def canary_setup(settings: Settings, spool: Store, redis_url: str) -> CanarySetup:
    """Return everything that sending a canary needs, from the settings."""
    from triage.canary.run import CanarySetup
    from triage.listener.address import own_listener

    canary = settings.canary
    jobs = ScoreQueue(connect(redis_url, settings.redis.timeout_s))
    return CanarySetup(
        spool=spool,
        partition=spool.partition(CANARY),
        listener=own_listener(settings.listener, settings.client_certificate, canary.ae_title, host=canary.host),
        destinations=settings.channels.with_canary(),
        timeout_s=canary.timeout_s,
        job_status=lambda instance: jobs.state(PartitionedInstance(CANARY, instance))[0],
        remove_jobs=partial(_remove_jobs, jobs),
    )


def schedule(
    settings: Settings, spool: Store, redis_url: str, registry: CollectorRegistry
) -> Callable[[], AbstractContextManager[None]]:
    """Return what makes a context: while it is open, canaries are sent at the interval of the settings."""
    from triage.canary.schedule import scheduled

    setup = canary_setup(settings, spool, redis_url)
    return partial(scheduled, setup, settings.canary.interval_minutes * 60, CanaryMetrics(registry))


def _remove_jobs(jobs: ScoreQueue, instances: Sequence[ReceivedInstance]) -> None:
    with suppress(RedisError):  # a worker drops the job of an object that is gone
        for instance in instances:
            jobs.forget(PartitionedInstance(CANARY, instance))
