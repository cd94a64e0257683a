"""The metrics of one process: counters, timers, and the moments at which they are counted.

Each process has a registry of its own and serves it on its own port; nothing is shared between processes. Counters and
histograms say what *this* process did: sum them over processes. Gauges about what all processes share (spool, queue,
dead letters) have one writer, the sweep, in ``StateMetrics``: no other process may export them, or its zeros would
stand beside the true values. Moments are exported as POSIX seconds and become ages in PromQL.

Labels are bounded and never identify a patient, a study or an unknown peer: what is not on a closed list is ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from triage.decision.types import ImageAssessment, ShadowScore, TriageDecision
from triage.metrics.labels import OTHER, ModelState, ViewCheck, bounded
from triage.metrics.listener import listener_metrics
from triage.metrics.registry import MetricFactory
from triage.metrics.sweep import sweep_metrics
from triage.metrics.web import web_metrics
from triage.metrics.worker import worker_metrics


@dataclass(frozen=True)
class Metrics:
    """What one process counts and times. Built by ``create``, once per process."""

    build_info: Gauge  # {version, settings}, always 1
    # Listener.
    associations_accepted: Counter  # {calling_ae_title}: see bounded
    associations_rejected: Counter  # {reason}: Rejection
    association_requests_failed: Counter  # {why}: NoRequest
    contexts_rejected: Counter  # {reason}: ContextRejection
    associations_ended: Counter  # {how}: Ending
    associations_open: Gauge
    objects_received: Counter  # {transfer_syntax, outcome}: a negotiated UID or other, Outcome
    received_bytes: Counter
    store_duration: Histogram
    last_object: Gauge
    enqueue_failures: Counter
    high_water_refusals: Counter
    tls_failures: Counter  # {reason}: triage.dicom.tls.TLSFailure
    certificate_not_after: Gauge  # {use}: listener, client, or the destination that we show it to
    crl_next_update: Gauge  # {use}: listener
    # Worker.
    stage_duration: Histogram  # {stage}: names chosen by the code, never by data
    time_to_tag: Histogram
    batch_size: Histogram
    images: Counter  # {tag, counted}: whether the study's tag takes it into account, true or false
    image_reasons: Counter  # {reason}
    study_decisions: Counter  # {tag}
    study_reasons: Counter  # {reason}
    score: Histogram  # {model}
    distance_ratio: Histogram  # {model}
    view_checks: Counter  # {calling_ae_title, outcome}: see bounded, ViewCheck
    retries: Counter
    buried: Counter
    jobs_refused: Counter
    jobs_taken: Counter  # {queue}: score, score-priors
    model_info: Gauge  # {model, version, digest, provider, configured_provider}, always 1
    model_state: Gauge  # {model, state}: ModelState, 1 for the one that holds
    silent: Gauge
    silent_until: Gauge
    # Sweep, which every worker runs once at its start too.
    sweep_runs: Counter  # {outcome}: ok, failed
    sweep_duration: Histogram
    sweep_requeued: Counter  # {why}: lost_job, dead_worker
    index_repairs: Counter  # {what}: the last word of the key that differed, stranger
    queue_repairs: Counter  # {what}: key, id, job, count
    index_rebuilds: Counter
    studies_removed: Counter
    studies_expired: Counter
    # Web.
    http_requests: Counter  # {route, status}: the route's pattern, never the path that was asked
    http_duration: Histogram  # {route}
    sign_ins: Counter  # {outcome}: SignInOutcome
    audit_messages: Counter  # {outcome}: written, failed

    def describe(self, version: str, settings: str) -> None:
        """Export what this process runs: the version, and the revision of its settings."""
        self.build_info.labels(version, settings).set(1)

    def count_assessment(self, assessment: ImageAssessment) -> None:
        """Count one image's tag, reasons, score and distance, and time its stages."""
        self.images.labels(assessment.tag, "true" if assessment.counts else "false").inc()
        for reason in assessment.reasons:
            self.image_reasons.labels(reason).inc()
        for stage, seconds in (assessment.stages or {}).items():
            self.stage_duration.labels(stage).observe(seconds)
        self._count_score(assessment)
        for shadow in assessment.shadow_scores:
            self._count_score(shadow)

    def _count_score(self, scored: ImageAssessment | ShadowScore) -> None:
        model = (scored.model_id or OTHER).split()[0]
        if scored.probability is not None:
            self.score.labels(model).observe(scored.probability)
        if scored.distance is not None and scored.distance_limit:
            self.distance_ratio.labels(model).observe(scored.distance / scored.distance_limit)

    def count_view_check(self, assessment: ImageAssessment, calling_ae_titles: Collection[str]) -> None:
        """Count whether the pixels contradict the stated view, by sender, of those that may be named."""
        if assessment.ap_share is None:
            return
        sender = bounded(assessment.calling_ae_title, calling_ae_titles)
        stated = ViewCheck.CONTRADICTED if assessment.view_contradicted else ViewCheck.AGREED
        outcome = stated if assessment.view in ("PA", "AP") else ViewCheck.NOT_STATED
        self.view_checks.labels(sender, outcome).inc()

    def begin_view_checks(self, calling_ae_titles: Collection[str]) -> None:
        """Export 0 for every sender that may be named: a series that begins above 0 hides its first increase."""
        for sender in {*calling_ae_titles, OTHER}:
            for outcome in ViewCheck:
                self.view_checks.labels(sender, outcome)

    def count_decision(self, decision: TriageDecision) -> None:
        """Count one decision of a study; each image that arrives later makes another."""
        self.study_decisions.labels(decision.tag).inc()
        for reason in decision.reasons:
            self.study_reasons.labels(reason).inc()

    def watch_model_state(self, model: str, state: Callable[[], ModelState]) -> None:
        """Export what ``state`` says at each scrape as what holds for ``model`` (a name, without version)."""
        for each in ModelState:
            self.model_state.labels(model, each).set_function(lambda each=each: float(state() is each))  # type: ignore[misc]


def create(registry: CollectorRegistry) -> Metrics:
    """Register what a process counts, and what prometheus_client knows about the process itself."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    make = MetricFactory(registry)
    build_info = make.gauge("build_info", "What this process runs; the value is 1.", "version", "settings")
    parts = (listener_metrics(make), worker_metrics(make), sweep_metrics(make), web_metrics(make))
    return Metrics(build_info=build_info, **{name: each for part in parts for name, each in part.items()})


def uncounted() -> Metrics:
    """Metrics that nobody reads."""
    return create(CollectorRegistry())
