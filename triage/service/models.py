"""Each process of the service: from the settings to the values that its parts need, startup → loop → shutdown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from triage.canary.partition import PLACE as CANARY
from triage.decision.decide import PriorityPolicy
from triage.delivery.outbox import Outbox
from triage.errors import StartError
from triage.metrics import process as metric_names
from triage.metrics.process import Metrics, ModelState, StateMetrics
from triage.operations.reconcile import Swept
from triage.operations.reconcile import sweep as sweep_once
from triage.queue.priors import is_prior
from triage.queue.score_queue import ScoreQueue, check_server, connect
from triage.radiograph.eligibility import EligibilityPolicy
from triage.runtime.health import HealthServer
from triage.runtime.stop_signal import StopSignal
from triage.scoring.assess import Policy
from triage.settings.destinations import Destination, DICOMDestination
from triage.settings.load import ModelSettings, Settings
from triage.spool.partitions import FORGET_AFTER_S, close_namespace, forget
from triage.spool.partitions import PLACE as VALIDATION
from triage.spool.spool import ReceivedInstance, Spool
from triage.spool.usage import oldest_awaited
from triage.worklist.index import Worklist

if TYPE_CHECKING:
    from triage.scoring.batch import Scorer

logger = logging.getLogger(__name__)


def listen(settings: Settings, spool: Spool, redis_url: str, index: int) -> None:
    """Receive objects until SIGTERM."""
    from triage.canary.wiring import at_listener
    from triage.listener import server as listener
    from triage.listener.c_store_scp import HighWater

    stopping = StopSignal()
    registry = CollectorRegistry()
    metrics = metric_names.create(registry)
    high_water = HighWater(settings.spool.high_water, settings.spool.min_free_bytes)
    ports: list[int] = []

    def ready() -> tuple[bool, str]:
        if high_water.reached(spool):
            return False, "the spool is above its high-water mark: C-STORE is answered 0xA700"
        return bool(ports), f"listening on {ports[0]}" if ports else "not listening yet"

    with (
        connect(redis_url, settings.redis.timeout_s) as client,
        HealthServer(registry, ready, _port(settings.listener.metrics_port, index), settings.listener.metrics_host),
    ):
        jobs = ScoreQueue(client)
        prior = partial(is_prior, spool, after_days=settings.decision.prior_after_days)
        listener.run(
            settings.listener,
            spool,
            high_water,
            metrics,
            lambda each: jobs.enqueue(each, isinstance(each, ReceivedInstance) and prior(each)),
            lambda: stopping.received,
            ports.append,
            _beside(settings, spool).get(VALIDATION),
            at_listener(settings.canary.ae_title, spool),
        )


def work(settings: Settings, spool: Spool, redis_url: str, index: int) -> None:
    """Score until SIGTERM."""
    from triage.canary.wiring import at_worker
    from triage.runtime.child_pool import DecodePool
    from triage.scoring import worker
    from triage.scoring.batch import Scorer
    from triage.scoring.partitioned import Places

    stopping = StopSignal()
    registry = CollectorRegistry()
    metrics = metric_names.create(registry)
    pool = DecodePool(settings.worker.decode_processes, settings.worker.decode_timeout_s)
    pool.warm()  # before this process has threads, models and their memory
    sessions = load_sessions(settings)
    policy = policy_of(settings)
    is_ready: list[float] = []
    with (
        connect(redis_url, settings.redis.timeout_s) as client,
        HealthServer(
            registry,
            partial(_ready_after, is_ready, "working"),
            _port(settings.worker.metrics_port, index),
            settings.worker.metrics_host,
        ),
    ):
        if warning := _when_reachable(lambda: check_server(client), stopping):
            logger.warning(warning)

        def scorer_of(place: Spool, *rest: Any) -> Scorer:
            return Scorer(place, sessions, pool, policy, priority_policy(settings), *rest)

        mark = partial(_mark_all, Outbox(spool), _destinations(settings, spool))
        patients = scorer_of(spool, metrics, Worklist(client).put_all, mark)
        canary_destinations = tuple(each.name for each in settings.channels.with_canary())
        canary = at_worker(scorer_of, spool, client, canary_destinations)
        places = Places(patients, {**canary, **_validation(settings, scorer_of, spool)})
        _describe_models(metrics, settings, sessions, spool)
        is_ready.append(time.time())
        logger.info("working with %s", ", ".join(session.card.model_id for session in sessions.values()))
        reconcile = partial(_sweep, settings, spool, redis_url, metrics)
        worker.run(
            spool,
            places,
            lambda: connect(redis_url, settings.redis.timeout_s),
            reconcile,
            stopping,
            batch_size=settings.worker.batch_size,
            tries=settings.worker.tries,
            metrics=metrics,
        )
    pool.close()


def _validation(settings: Settings, scorer_of: Callable[..., Scorer], spool: Spool) -> dict[str, Scorer]:
    """What scores what the validation AE title sends, by its place: told nobody, and counted nowhere."""
    from triage.canary.wiring import uncounted

    if not settings.listener.validation_ae_title:
        return {}
    index, mark = lambda decisions: None, lambda study: None
    return {VALIDATION: scorer_of(spool.beside(VALIDATION), uncounted(), index, mark, spool.disabled_models)}


def sweep(settings: Settings, spool: Spool, redis_url: str, once: bool) -> Swept | None:
    """Reconcile now, and then regularly until SIGTERM; with ``once`` only now, raising RedisError if Redis is away."""
    from redis.exceptions import RedisError

    from triage.canary.wiring import schedule
    from triage.delivery.deliverer import warn_of_strangers
    from triage.dicom.tls import not_after_or_zero
    from triage.spool.usage import export_state, read_state

    stopping = StopSignal()
    warn_of_strangers(Outbox(spool), _destinations(settings, spool))
    registry = CollectorRegistry()
    metrics, state = metric_names.create(registry), metric_names.create_state(registry)
    if certificate := settings.client.tls_certificate:
        metrics.certificate_not_after.labels("client").set_function(partial(not_after_or_zero, certificate))
    if once:
        return _sweep(settings, spool, redis_url, metrics)
    swept: list[float] = []
    ready = partial(_ready_after, swept, "sweeping")
    with ExitStack() as running:
        if settings.canary.interval_minutes:
            running.enter_context(schedule(settings, spool, redis_url, registry))
        running.enter_context(HealthServer(registry, ready, settings.sweep.metrics_port, settings.sweep.metrics_host))
        while not stopping.received:
            oldest: float | None = None
            try:
                _sweep(settings, spool, redis_url, metrics)
                metrics.sweep_runs.labels("ok").inc()
                state.redis_up.set(1)
                oldest = _oldest_awaited(settings, spool, redis_url, state)
            except RedisError as error:
                logger.error("sweep: Redis does not answer (%s); trying again", error)
                metrics.sweep_runs.labels("failed").inc()
                state.redis_up.set(0)
            except OSError as error:
                logger.error("sweep: spool: %s; trying again", error)
                metrics.sweep_runs.labels("failed").inc()
            export_state(read_state(spool), state, oldest)
            swept.append(time.time())
            state.last_sweep.set(time.time())
            stopping.wait(settings.sweep.interval_s)
    return None


def deliver(settings: Settings, spool: Spool) -> None:
    """Hand results over until SIGTERM."""
    from triage.canary.wiring import at_deliverer
    from triage.channels.factory import channel_of
    from triage.delivery import deliverer as delivery

    stopping = StopSignal()
    registry = CollectorRegistry()
    general, metrics = metric_names.create(registry), metric_names.create_delivery(registry)
    _watch_certificates(general, settings.channels.enabled())
    outbox, device_uid = Outbox(spool), spool.installation_uid()
    _destinations(settings, spool)
    closing = ExitStack()
    deliverers: list[delivery.Deliveries] = []
    for each in settings.channels.enabled():
        channel = channel_of(each, device_uid, closing.callback)
        patients = delivery.Deliverer(spool, outbox, each, channel, metrics, lambda: stopping.received)
        deliverers.append(at_deliverer(patients) if each.canary else patients)
    named = ", ".join(each.name for each in deliverers) or "nowhere: no destination is switched on"
    started: list[float] = []
    ready = partial(_ready_after, started, f"delivering to {named}")
    with (
        closing,
        _only_one_deliverer(spool),
        HealthServer(registry, ready, settings.deliver.metrics_port, settings.deliver.metrics_host),
    ):
        logger.info("delivering to %s", named)
        started.append(time.time())
        delivery.run(deliverers, outbox, lambda: stopping.received, stopping.wait, settings.deliver.interval_s)


def reports(settings: Settings, spool: Spool, redis_url: str) -> None:
    """Hear which studies were reported until SIGTERM: messages over MLLP, workitems that were completed."""
    from triage.inbound_reports.receiver import Hearer
    from triage.inbound_reports.serve import memory_of, policy_of, run
    from triage.inbound_reports.ups_watcher import watchers_of

    stopping = StopSignal()
    registry = CollectorRegistry()
    metrics = metric_names.create_reports(registry)
    own = frozenset((each.sending_application, each.sending_facility) for each in settings.channels.hl7)
    started: list[float] = []
    ready = partial(_ready_after, started, "hearing of reports")
    with (
        connect(redis_url, settings.redis.timeout_s) as client,
        HealthServer(registry, ready, settings.reports.metrics_port, settings.reports.metrics_host),
    ):
        index = Worklist(client)
        watchers = watchers_of(settings.channels.ups, spool, index, metrics, lambda: stopping.received, stopping.wait)
        if not (settings.reports.port or watchers):
            raise StartError("nothing to hear of reports from: set reports.port, or look_s of a UPS destination")
        memory = memory_of(settings.reports, spool, index, metrics)
        if memory:
            watchers.append(partial(memory.watch, lambda: stopping.received, stopping.wait))
        hearer = Hearer(spool, index, policy_of(settings.reports, own), metrics, memory=memory)
        run(
            settings.reports,
            hearer,
            metrics,
            watchers,
            lambda: stopping.received,
            stopping.wait,
            lambda: started.append(time.time()),
        )


def _watch_certificates(metrics: Metrics, destinations: Iterable[Destination]) -> None:
    """Export when the certificates expire that we show to destinations."""
    from triage.dicom.tls import not_after_or_zero

    for each in destinations:
        if isinstance(each, DICOMDestination) and each.tls_certificate:
            watched = partial(not_after_or_zero, each.tls_certificate)
            metrics.certificate_not_after.labels(each.name).set_function(watched)


def web(settings: Settings, spool: Spool, redis_url: str) -> None:
    """Serve the worklist until SIGTERM."""
    from triage.web.app import run

    run(
        settings.web,
        waiting_cap_s=settings.worklist.waiting_cap_s,
        spool=spool,
        redis_url=redis_url,
        redis_timeout_s=settings.redis.timeout_s,
        low=settings.decision.lower_normal,
        sign_in=settings.sign_in,
        audit=settings.audit,
        show_maps=settings.web.activation_map,
    )


def _beside(settings: Settings, spool: Spool) -> dict[str, Spool]:
    """The places beside the patients', by their names in the queue: of the canary, and of what is sent to validate."""
    names = (CANARY, VALIDATION) if settings.listener.validation_ae_title else (CANARY,)
    return {name: spool.beside(name) for name in names}


def load_sessions(settings: Settings) -> dict[str, Any]:
    """The models of the settings, loaded and warm. Raises StartError for one that must not be used."""
    from triage.model.card import load_cards
    from triage.model.registry import usable
    from triage.model.session import Session

    cards = usable(load_cards(settings.models.path, settings.models.names), registry_policy(settings.models))
    if not cards:
        raise StartError("every model is a demo: set models.allow_demo for a demonstration, or install another model")
    sessions = {
        name: Session(
            settings.models.path / name,
            card,
            provider=settings.worker.provider,
            threads=settings.worker.threads,
            maps=settings.keeps_activation_maps,
        )
        for name, card in cards.items()
    }
    for session in sessions.values():
        session.warm()
    return sessions


def registry_policy(settings: ModelSettings) -> Any:
    """What the site decided about its models; the kill switches come from the spool."""
    from triage.model.registry import RegistryPolicy

    return RegistryPolicy(
        shadow=frozenset(settings.shadow),
        adult_when_age_unknown=settings.adult_when_age_unknown,
        allow_demo=settings.allow_demo,
    )


def priority_policy(settings: Settings) -> PriorityPolicy:
    """How the site turns a tag into a priority."""
    decision = settings.decision
    return PriorityPolicy(decision.baseline_priority, decision.lower_normal, decision.prior_after_days)


def predictions(settings: Settings, files: list[Path], model: Path | None) -> Iterator[dict[str, Any]]:
    """One JSON object for each file, in order, as the service would judge it."""
    from triage.scoring.predict import Compute, Models, predict

    models = Models.only(model) if model else Models.installed(settings.models.path, settings.models.names)
    worker = settings.worker
    compute = Compute(worker.provider, worker.threads, worker.decode_processes, worker.decode_timeout_s)
    policy = policy_of(settings)
    spool = Spool(settings.spool.path)
    if spool.exists():  # a model that a person has switched off scores nothing here either
        policy = replace(policy, registry=replace(policy.registry, disabled=spool.disabled_models()))
    return predict(files, models, policy, compute)


def _sweep(settings: Settings, spool: Spool, redis_url: str, metrics: Metrics) -> Swept:
    beside = _beside(settings, spool)
    _forget_validations(spool, beside)
    with connect(redis_url, settings.redis.timeout_s) as client:
        return sweep_once(
            spool,
            ScoreQueue(client),
            Worklist(client),
            metrics,
            retention_days=settings.spool.retention_days,
            expire_after_days=settings.worklist.expire_after_days,
            now=time.time(),
            beside=beside,
            prior=partial(is_prior, spool, after_days=settings.decision.prior_after_days),
        )


def _forget_validations(spool: Spool, beside: Mapping[str, Spool]) -> None:
    """Remove what a command left there that was killed; all of it where no setting names a validation's sender."""
    if VALIDATION not in beside:
        close_namespace(spool)
        return
    try:
        forget(beside[VALIDATION], time.time() - FORGET_AFTER_S)
    except OSError as error:
        logger.error("sweep: %s cannot be cleaned: %s", VALIDATION, error.strerror or type(error).__name__)


def _destinations(settings: Settings, spool: Spool) -> tuple[str, ...]:
    """The names of the destinations that are switched on; their folders are there."""
    names = tuple(each.name for each in settings.channels.enabled())
    Outbox(spool).prepare(names)
    return names


def _mark_all(outbox: Outbox, destinations: tuple[str, ...], study_instance_uid: str) -> None:
    for name in destinations:
        outbox.mark(study_instance_uid, name)


@contextmanager
def _only_one_deliverer(spool: Spool) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(spool.worker_lock("deliver"))
        except BlockingIOError as error:
            raise StartError(f"another `triage deliver` runs on the spool {spool.root}: stop it first") from error
        yield


def _oldest_awaited(settings: Settings, spool: Spool, redis_url: str, state: StateMetrics) -> float | None:
    """Note how much waits in each queue; when the oldest object came that is no prior, 0 if none waits.

    None where every object is awaited: no study is a prior there.
    """
    with connect(redis_url, settings.redis.timeout_s) as client:
        jobs = ScoreQueue(client)
        for queue, depth in jobs.depths().items():
            state.queue_depth.labels(queue).set(depth)
        return oldest_awaited(spool, jobs.is_of_priors) if settings.decision.prior_after_days else None


def _when_reachable(check: Any, stopping: StopSignal) -> str:
    """``check()`` as soon as Redis answers: a worker that starts before its Redis waits for it."""
    from redis.exceptions import RedisError

    while not stopping.received:
        try:
            return str(check())
        except RedisError as error:
            logger.error("Redis does not answer (%s); waiting for it", error)
            stopping.wait(2.0)
    return ""


def _describe_models(metrics: Metrics, settings: Settings, sessions: dict[str, Any], spool: Spool) -> None:
    for name, session in sessions.items():
        card = session.card
        metrics.model_info.labels(
            name, card.version, card.model_sha256, session.provider, settings.worker.provider
        ).set(1)
        metrics.watch_model_state(name, partial(_model_state, name, settings.models, spool))


def _model_state(name: str, models: ModelSettings, spool: Spool) -> ModelState:
    if name in spool.disabled_models():
        return ModelState.DISABLED
    return ModelState.SHADOW if name in models.shadow else ModelState.ENABLED


def policy_of(settings: Settings) -> Policy:
    """What the settings say about images, models and the operating point."""
    return Policy(
        EligibilityPolicy(frozenset(settings.eligibility.frontal_ae_titles), settings.eligibility.frontal_descriptions),
        registry_policy(settings.models),
        settings.models.operating_point,
    )


def _ready_after(moments: list[float], doing: str) -> tuple[bool, str]:
    return bool(moments), doing if moments else "starting"


def _port(first: int, index: int) -> int:
    return first + index if first else 0
