"""The canary in each process of the service. What a process needs of it is imported only there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from redis import Redis
from redis.exceptions import RedisError

from triage.canary.partition import CANARY, expects
from triage.delivery.outbox import Outbox
from triage.metrics.canary import create_canary
from triage.metrics.delivery import create_delivery
from triage.metrics.process import uncounted
from triage.queue.score_queue import PartitionedInstance, ScoreQueue, connect
from triage.settings.schema import Settings
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

if TYPE_CHECKING:
    from triage.canary.run import Route
    from triage.decision.types import TriageDecision
    from triage.delivery.deliverer import Deliverer, DestinationLoop
    from triage.listener.storage import CanaryRoute
    from triage.scoring.batch import BatchScorer


def at_listener(ae_title: str, spool: Spool) -> CanaryRoute:
    """Return the route of the canary's objects in the listener."""
    from triage.listener.storage import CanaryRoute, uncounted_target

    partition = spool.partition(CANARY)
    return CanaryRoute.to(ae_title, uncounted_target(partition, CANARY), partial(expects, partition))


def at_worker(
    scorer_of: Callable[..., BatchScorer], spool: Spool, client: Redis, destinations: Sequence[str]
) -> dict[str, BatchScorer]:
    """What scores a canary, by its place. ``scorer_of`` makes a scorer of a spool, its metrics, index and marks."""
    from triage.worklist.index import Worklist

    partition, index = spool.partition(CANARY), Worklist(client)
    outbox = Outbox(partition)

    def rehearse(decisions: Sequence[TriageDecision]) -> None:
        for decision in decisions:
            index.rehearse(decision)

    def mark(study_instance_uid: str) -> None:
        outbox.prepare(destinations)  # now, and not at the start: its folder may be removed and made anew
        for name in destinations:
            outbox.mark(study_instance_uid, name)

    # The kill switches of models are the patients'.
    return {CANARY: scorer_of(partition, uncounted(), rehearse, mark, spool.model_switches.disabled)}


def at_deliverer(patients: Deliverer) -> DestinationLoop:
    """What one destination's thread does, the canary too."""
    from triage.canary.delivery import CanaryOutbox, WithCanary
    from triage.delivery.deliverer import Deliverer

    partition = patients.spool.partition(CANARY)
    outbox = CanaryOutbox(partition, patients.outbox)  # the worker makes its folders, with its first mark
    at_once = patients.destination.model_copy(update={"delay_s": 0.0})  # no further image comes
    metrics = create_delivery(CollectorRegistry())
    canary = Deliverer(
        partition, outbox, at_once, patients.channel, metrics, patients.stopping, patients.now, test=True
    )
    return WithCanary(patients, canary)


def route_of(settings: Settings, spool: Spool, redis_url: str) -> Route:
    """Where a canary goes."""
    from triage.canary.run import Route
    from triage.listener.address import own_listener

    canary = settings.canary
    jobs = ScoreQueue(connect(redis_url, settings.redis.timeout_s))
    return Route(
        spool=spool,
        partition=spool.partition(CANARY),
        address=own_listener(settings.listener, settings.client_certificate, canary.ae_title, host=canary.host),
        destinations=settings.channels.with_canary(),
        timeout_s=canary.timeout_s,
        state=lambda instance: jobs.state(PartitionedInstance(CANARY, instance))[0],
        forget=partial(_forget, jobs),
    )


def schedule(
    settings: Settings, spool: Spool, redis_url: str, registry: CollectorRegistry
) -> AbstractContextManager[None]:
    """Canaries as often as the settings say, while this is open."""
    from triage.canary.schedule import scheduled

    route = route_of(settings, spool, redis_url)
    return scheduled(route, settings.canary.interval_minutes * 60, create_canary(registry))


def _forget(jobs: ScoreQueue, instances: Sequence[ReceivedInstance]) -> None:
    with suppress(RedisError):  # a worker drops the job of what is gone
        for instance in instances:
            jobs.forget(PartitionedInstance(CANARY, instance))
