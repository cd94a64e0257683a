"""Every metric name, with its labels and buckets.

Each process has a registry of its own and serves it on its own port; nothing is shared between processes. Counters and
histograms say what *this* process did: sum them over processes. Gauges about what all processes share (spool, queue,
dead letters) have one writer, the sweep, in ``StateMetrics``: no other process may export them, or its zeros would
stand beside the true values. Moments are exported as POSIX seconds and become ages in PromQL.

Labels are bounded and never identify a patient, a study or an unknown peer: what is not on a closed list is ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from triage.decision.decide import ImageAssessment, ShadowScore, TriageDecision

PREFIX = "cxr_triage"
OTHER = "other"


class Rejection(StrEnum):
    """Why an association was rejected."""

    CALLED_AE_TITLE = "called_ae_title"
    CALLING_AE_TITLE = "calling_ae_title"
    SOURCE_ADDRESS = "source_address"
    TOO_MANY = "too_many"
    SHUTTING_DOWN = "shutting_down"
    OTHER = OTHER


class Ending(StrEnum):
    """How an accepted association ended."""

    RELEASED = "released"
    ABORTED_BY_PEER = "aborted_by_peer"
    ABORTED_BY_US = "aborted_by_us"
    CONNECTION_LOST = "connection_lost"
    TIMED_OUT = "timed_out"


class Outcome(StrEnum):
    """What became of an object that a peer sent, with the C-STORE status it was answered."""

    STORED = "stored"  # 0x0000
    DUPLICATE = "duplicate"  # 0x0000
    REFUSED = "refused"  # 0xA700: high-water mark or OSError
    MISMATCH = "mismatch"  # 0xA900
    QUARANTINED = "quarantined"  # 0xC000
    INCOMPLETE = "incomplete"  # the association ended in mid-object: no answer


class SignInOutcome(StrEnum):
    """What became of an attempt to come in."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # wrong password or no such user
    THROTTLED = "throttled"  # too many wrong ones before
    UNTRUSTED = "untrusted"  # a proxy's header from somebody who is none


class ModelState(StrEnum):
    """Whether a model's scores count."""

    ENABLED = "enabled"
    SHADOW = "shadow"
    DISABLED = "disabled"


_FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAITING_SECONDS = (0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
_PROBABILITIES = tuple(step / 20 for step in range(1, 21))
_DISTANCE_RATIOS = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
_BATCH_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


@dataclass(frozen=True)
class Metrics:
    """What one process counts and times. Built by ``create``, once per process."""

    # Listener.
    associations_accepted: Counter  # {calling_ae_title}: see bounded
    associations_rejected: Counter  # {reason}: Rejection
    associations_ended: Counter  # {how}: Ending
    associations_open: Gauge
    objects_received: Counter  # {transfer_syntax, outcome}: a negotiated UID or other, Outcome
    received_bytes: Counter
    store_duration: Histogram
    last_object: Gauge
    enqueue_failures: Counter
    high_water_refusals: Counter
    tls_failures: Counter  # {reason}: triage.tls.Failure
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
    retries: Counter
    buried: Counter
    jobs_refused: Counter
    jobs_taken: Counter  # {queue}: score, score-priors
    model_info: Gauge  # {model, version, digest, provider, configured_provider}, always 1
    model_state: Gauge  # {model, state}: ModelState, 1 for the one that holds
    # Sweep, which every worker runs once at its start too.
    sweep_runs: Counter  # {outcome}: ok, failed
    sweep_duration: Histogram
    sweep_requeued: Counter  # {why}: lost_job, dead_worker
    index_rebuilds: Counter
    studies_removed: Counter
    studies_expired: Counter
    # Web.
    http_requests: Counter  # {route, status}: the route's pattern, never the path that was asked
    http_duration: Histogram  # {route}
    sign_ins: Counter  # {outcome}: SignInOutcome
    audit_messages: Counter  # {outcome}: written, failed

    def count_assessment(self, assessment: ImageAssessment) -> None:
        """Count one image's tag, reasons, score and distance, and time its stages."""
        self.images.labels(assessment.tag, "true" if assessment.counts else "false").inc()
        for reason in assessment.reasons:
            self.image_reasons.labels(reason).inc()
        for stage, seconds in (assessment.stages or {}).items():
            self.stage_duration.labels(stage).observe(seconds)
        self._count_score(assessment)
        for shadow in assessment.beside:
            self._count_score(shadow)

    def _count_score(self, scored: ImageAssessment | ShadowScore) -> None:
        model = (scored.model_id or OTHER).split()[0]
        if scored.probability is not None:
            self.score.labels(model).observe(scored.probability)
        if scored.distance is not None and scored.distance_limit:
            self.distance_ratio.labels(model).observe(scored.distance / scored.distance_limit)

    def count_decision(self, decision: TriageDecision) -> None:
        """Count one decision of a study; each image that arrives later makes another."""
        self.study_decisions.labels(decision.tag).inc()
        for reason in decision.reasons:
            self.study_reasons.labels(reason).inc()

    def watch_model_state(self, model: str, state: Callable[[], ModelState]) -> None:
        """Export what ``state`` says at each scrape as what holds for ``model`` (a name, without version)."""
        for each in ModelState:
            self.model_state.labels(model, each).set_function(lambda each=each: float(state() is each))  # type: ignore[misc]


@dataclass(frozen=True)
class StateMetrics:
    """What all processes share. Only the sweep creates these; see the module's docstring."""

    spool_total_bytes: Gauge
    spool_free_bytes: Gauge
    spool_total_inodes: Gauge
    spool_free_inodes: Gauge
    spool_bytes: Gauge  # {folder}
    inbox_objects: Gauge
    oldest_untagged: Gauge  # 0 while nothing waits
    queue_depth: Gauge  # {queue}: one per worker process
    dead_letters: Gauge
    quarantined: Gauge
    redis_up: Gauge
    last_sweep: Gauge


@dataclass(frozen=True)
class DeliveryMetrics:
    """What the one delivering process does and sees. {destination}: names from the settings only."""

    built: Counter  # {destination}
    skipped: Counter  # {destination}: nothing to send of a result, e.g. no activation map
    attempts: Counter  # {destination, outcome}: delivered, retry, dead, unreachable
    warnings: Counter  # {destination}: delivered, and the receiver warned
    build_failures: Counter  # {destination}
    held: Counter  # {destination}: would have lowered what was delivered as raised
    time_to_delivery: Histogram  # {destination}
    waiting: Gauge  # {destination}
    oldest: Gauge  # {destination}: 0 while nothing waits
    dead: Gauge  # {destination}
    up: Gauge  # {destination}: 1 if the last attempt reached it
    switched_off: Gauge  # {destination}: 1 while its kill switch is on


@dataclass(frozen=True)
class CanaryMetrics:
    """What the one process that sends canaries sees of them; they are counted nowhere else."""

    last_success: Gauge  # 0 if none ever came out
    interval: Gauge
    duration: Histogram
    failures: Counter  # {stage}: stored, queued, scored, decided, delivered:DESTINATION


REPORT_OUTCOMES = (
    "read",  # a study left the list
    "repeated",  # the same message again
    "outdated",  # an image came after the report: the study stays
    "unmatched",  # of no study of ours
    "remembered",  # of no study of ours yet
    "early",  # a study came that a remembered report is of: it left the list
    "other_status",  # it does not say that there is a report
    "own",  # a triage result that came back
    "test",  # not of production
    "ambiguous",
    "other_patient",
    "contradictory",
    "malformed",
    "refused",  # its sender or kind is not taken here
    "failed",  # Redis or the disk: the sender has to send it again
)
"""What came of a report message, for each order that it speaks of."""


@dataclass(frozen=True)
class ReportMetrics:
    """What the one process sees that hears of reports. {destination}: names from the settings only."""

    reports: Counter  # {outcome}: REPORT_OUTCOMES
    reports_remembered: Gauge
    report_connections: Gauge
    workitems_completed: Counter  # {destination}
    workitem_looks: Counter  # {destination, outcome}: ok, failed


def bounded(value: str, allowed: Collection[str]) -> str:
    """``value`` as a label if it is on the closed list ``allowed``, else ``other``."""
    return value if value in allowed else OTHER


def create(registry: CollectorRegistry) -> Metrics:
    """Register what a process counts, and what prometheus_client knows about the process itself."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    make = _Maker(registry)
    return Metrics(**_listener(make), **_worker(make), **_sweep(make), **_web(make))


def create_state(registry: CollectorRegistry) -> StateMetrics:
    """Register the gauges about what all processes share. For the sweep process alone."""
    gauge = _Maker(registry).gauge
    return StateMetrics(
        spool_total_bytes=gauge("spool_file_system_bytes", "Size of the file system under the spool."),
        spool_free_bytes=gauge("spool_free_bytes", "Free bytes of the file system under the spool."),
        spool_total_inodes=gauge("spool_file_system_inodes", "Inodes of the file system under the spool."),
        spool_free_inodes=gauge("spool_free_inodes", "Free inodes of the file system under the spool."),
        spool_bytes=gauge("spool_bytes", "Bytes that the spool itself takes, by folder.", "folder"),
        inbox_objects=gauge("inbox_objects", "Objects that are acknowledged and not yet tagged."),
        oldest_untagged=gauge(
            "oldest_untagged_timestamp_seconds", "When the oldest untagged object was received; 0 while none waits."
        ),
        queue_depth=gauge("queue_depth", "Jobs that wait in a worker's queue.", "queue"),
        dead_letters=gauge("dead_letters", "Objects that were given up and wait for a person."),
        quarantined=gauge("quarantined_objects", "Unparsable objects that were kept."),
        redis_up=gauge("redis_up", "Whether Redis answered the last sweep."),
        last_sweep=gauge("sweep_last_run_timestamp_seconds", "When the last sweep ended."),
    )


def create_delivery(registry: CollectorRegistry) -> DeliveryMetrics:
    """Register what is counted about destinations. For the delivering process alone."""
    make = _Maker(registry)
    return DeliveryMetrics(
        built=make.counter("deliveries_built_total", "Messages built.", "destination"),
        skipped=make.counter("deliveries_skipped_total", "Results of which there is nothing to send.", "destination"),
        attempts=make.counter("delivery_attempts_total", "Attempts to deliver a message.", "destination", "outcome"),
        warnings=make.counter("delivery_warnings_total", "Messages that were delivered with a warning.", "destination"),
        build_failures=make.counter("delivery_build_failures_total", "Messages that cannot be built.", "destination"),
        held=make.counter(
            "deliveries_held_total", "Results not sent because they would lower a raised study.", "destination"
        ),
        time_to_delivery=make.histogram(
            "time_to_delivery_seconds", "From a study's decision to the receipt.", _WAITING_SECONDS, "destination"
        ),
        waiting=make.gauge("deliveries_waiting", "Messages that are built and not acknowledged.", "destination"),
        oldest=make.gauge(
            "oldest_undelivered_timestamp_seconds",
            "Since when the oldest result waits for its delivery; 0 while none waits.",
            "destination",
        ),
        dead=make.gauge("delivery_dead_letters", "Messages that were given up and wait for a person.", "destination"),
        up=make.gauge("destination_up", "Whether the last attempt reached the destination.", "destination"),
        switched_off=make.gauge("destination_switched_off", "Whether a person has switched it off.", "destination"),
    )


def create_canary(registry: CollectorRegistry) -> CanaryMetrics:
    """Register what is known of canaries. For the process that sends them alone, and only where it does."""
    make = _Maker(registry)
    return CanaryMetrics(
        last_success=make.gauge(
            "canary_last_success_timestamp_seconds", "When a canary came out last; 0 if none ever did."
        ),
        interval=make.gauge("canary_interval_seconds", "Time between two canaries."),
        duration=make.histogram(
            "canary_duration_seconds", "From sending a canary to its last receipt.", _WAITING_SECONDS
        ),
        failures=make.counter("canary_failures_total", "Canaries that did not come out, by where they stuck.", "stage"),
    )


def create_reports(registry: CollectorRegistry) -> ReportMetrics:
    """Register what is counted about reports. For the process alone that hears of them."""
    make = _Maker(registry)
    metrics = ReportMetrics(
        reports=make.counter("reports_total", "Orders in report messages, by what came of them.", "outcome"),
        reports_remembered=make.gauge("reports_remembered", "Reports that are remembered for studies that may come."),
        report_connections=make.gauge("report_connections", "Connections of senders of reports that are open now."),
        workitems_completed=make.counter(
            "workitems_completed_total", "Workitems of ours that a UPS manager calls completed.", "destination"
        ),
        workitem_looks=make.counter(
            "workitem_looks_total", "Looks at a UPS manager for what was completed.", "destination", "outcome"
        ),
    )
    for outcome in REPORT_OUTCOMES:  # from the start, so that the first of each is an increase that an alert can see
        metrics.reports.labels(outcome)
    return metrics


@dataclass(frozen=True)
class _Maker:
    """Metrics of one registry, with our prefix."""

    registry: CollectorRegistry

    def counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", help_text, labels, registry=self.registry)

    def gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", help_text, labels, registry=self.registry)

    def histogram(self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", help_text, labels, registry=self.registry, buckets=buckets)


def _listener(make: _Maker) -> Mapping[str, Any]:
    return {
        "associations_accepted": make.counter(
            "associations_accepted_total", "Associations accepted.", "calling_ae_title"
        ),
        "associations_rejected": make.counter("associations_rejected_total", "Associations rejected.", "reason"),
        "associations_ended": make.counter("associations_ended_total", "Accepted associations that ended.", "how"),
        "associations_open": make.gauge("associations_open", "Associations that are open now."),
        "objects_received": make.counter(
            "objects_received_total", "Objects received by C-STORE.", "transfer_syntax", "outcome"
        ),
        "received_bytes": make.counter("received_bytes_total", "Bytes of the data sets received."),
        "store_duration": make.histogram(
            "store_duration_seconds", "From a C-STORE's command to our answer.", _FAST_SECONDS
        ),
        "last_object": make.gauge(
            "last_object_timestamp_seconds", "When the last object was stored; 0 if none was since start."
        ),
        "enqueue_failures": make.counter(
            "enqueue_failures_total", "Stored objects that could not be enqueued; the sweep does it."
        ),
        "high_water_refusals": make.counter(
            "high_water_refusals_total", "C-STORE requests answered 0xA700 because the spool is too full."
        ),
        "tls_failures": make.counter("tls_failures_total", "Connections that came to no TLS.", "reason"),
        "certificate_not_after": make.gauge(
            "tls_certificate_not_after_timestamp_seconds", "When a certificate of ours expires.", "use"
        ),
        "crl_next_update": make.gauge(
            "tls_crl_next_update_timestamp_seconds", "When a list of revoked certificates expires.", "use"
        ),
    }


def _worker(make: _Maker) -> Mapping[str, Any]:
    return {
        "stage_duration": make.histogram("stage_duration_seconds", "One stage of one image.", _FAST_SECONDS, "stage"),
        "time_to_tag": make.histogram(
            "time_to_tag_seconds", "From an object's receipt to its study's decision.", _WAITING_SECONDS
        ),
        "batch_size": make.histogram("batch_size", "Images scored at once.", _BATCH_SIZES),
        "images": make.counter(
            "images_total", "Images assessed, by tag, and whether a study's tag counts them.", "tag", "counted"
        ),
        "image_reasons": make.counter("image_reasons_total", "Reasons beside the tags of images.", "reason"),
        "study_decisions": make.counter("study_decisions_total", "Decisions of studies, by tag.", "tag"),
        "study_reasons": make.counter("study_reasons_total", "Reasons beside the tags of studies.", "reason"),
        "score": make.histogram("score", "Probabilities that a model gave.", _PROBABILITIES, "model"),
        "distance_ratio": make.histogram(
            "distance_ratio", "Distance from the training images over the model's limit.", _DISTANCE_RATIOS, "model"
        ),
        "retries": make.counter("retries_total", "Attempts that failed and are tried again."),
        "buried": make.counter("buried_total", "Objects that were given up after the last try."),
        "jobs_refused": make.counter(
            "jobs_refused_total", "Jobs in the queue that were none of ours, and were not run."
        ),
        "jobs_taken": make.counter("jobs_taken_total", "Jobs that workers began with, by their queue.", "queue"),
        "model_info": make.gauge(
            "model_info",
            "A loaded model; the value is 1.",
            *("model", "version", "digest", "provider", "configured_provider"),
        ),
        "model_state": make.gauge("model_state", "1 for the state that a model is in.", "model", "state"),
    }


def _sweep(make: _Maker) -> Mapping[str, Any]:
    return {
        "sweep_runs": make.counter("sweep_runs_total", "Sweeps.", "outcome"),
        "sweep_duration": make.histogram("sweep_duration_seconds", "One sweep.", _FAST_SECONDS),
        "sweep_requeued": make.counter("sweep_requeued_total", "Objects that a sweep enqueued again.", "why"),
        "index_rebuilds": make.counter("index_rebuilds_total", "Rebuilds of a lost worklist index."),
        "studies_removed": make.counter("studies_removed_total", "Studies removed after their retention."),
        "studies_expired": make.counter("studies_expired_total", "Studies that left the list by age."),
    }


def _web(make: _Maker) -> Mapping[str, Any]:
    return {
        "http_requests": make.counter("http_requests_total", "HTTP requests answered.", "route", "status"),
        "http_duration": make.histogram("http_request_duration_seconds", "One HTTP request.", _FAST_SECONDS, "route"),
        "sign_ins": make.counter("sign_ins_total", "Attempts to sign in.", "outcome"),
        "audit_messages": make.counter("audit_messages_total", "Audit messages.", "outcome"),
    }
