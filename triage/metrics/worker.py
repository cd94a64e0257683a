"""Metrics of `triage work`."""

from __future__ import annotations

from collections.abc import Callable, Collection

from triage.decision.types import ImageAssessment, ShadowScore, TriageDecision
from triage.metrics.labels import (
    BATCH_SIZES,
    DISTANCE_RATIOS,
    FAST_SECONDS,
    OTHER,
    PROBABILITIES,
    WAITING_SECONDS,
    ModelState,
    ViewCheck,
    bounded,
)
from triage.metrics.process import ProcessMetrics
from triage.metrics.reconcile import ReconcileMetrics
from triage.metrics.registry import counter, gauge, histogram


class WorkerMetrics(ProcessMetrics, ReconcileMetrics):
    """Images scored and studies decided; each worker also sweeps once at its start.

    {stage}: names chosen by the code, never by data. {counted}: true if the study's tag takes the image into account,
    else false. {model}: a name, without its version. {calling_ae_title}: see ``bounded``. {outcome}: ViewCheck.
    {finding}, {point}: names in the models' cards and in the site's file of operating points.
    {queue}: score, score-priors, score-stat. {state}: ModelState, 1 for the present one. {outcome} of known
    answers: held, differed, failed (no valid answer). {why}: locked (another process holds its study), undecided (its
    study cannot be written or read), unread (the store gives other objects, and not its bytes).
    """

    stage_duration = histogram("stage_duration_seconds", "One stage of one image.", FAST_SECONDS, "stage")
    time_to_tag = histogram("time_to_tag_seconds", "From an object's receipt to its study's decision.", WAITING_SECONDS)
    batch_size = histogram("batch_size", "Images scored at once.", BATCH_SIZES)
    images = counter(
        "images_total", "Images assessed, by tag, and whether a study's tag counts them.", "tag", "counted"
    )
    image_reasons = counter("image_reasons_total", "Reasons with the tags of images.", "reason")
    study_decisions = counter("study_decisions_total", "Decisions of studies, by tag.", "tag")
    study_reasons = counter("study_reasons_total", "Reasons with the tags of studies.", "reason")
    score = histogram("score", "Probabilities that a model gave.", PROBABILITIES, "model")
    distance_ratio = histogram(
        "distance_ratio", "Distance from the training images over the model's limit.", DISTANCE_RATIOS, "model"
    )
    view_checks = counter(
        "view_checks_total", "Images whose stated view was compared with the pixels.", "calling_ae_title", "outcome"
    )
    retries = counter("retries_total", "Attempts that failed and are tried again.")
    buried = counter("buried_total", "Objects that were given up after the last try.")
    postponed = counter("postponed_total", "Times that an object was put off for a growing pause, and why.", "why")
    jobs_refused = counter("jobs_refused_total", "Jobs in the queue that were none of ours, and were not run.")
    jobs_taken = counter("jobs_taken_total", "Jobs that workers began with, by their queue.", "queue")
    model_info = gauge(
        "model_info",
        "A loaded model; the value is 1.",
        *("model", "version", "digest", "provider", "configured_provider"),
    )
    model_state = gauge("model_state", "1 for the state that a model is in.", "model", "state")
    known_answers = counter(
        "known_answer_checks_total", "Times a model's server was asked for the known answers.", "model", "outcome"
    )
    operating_points = gauge("operating_points", "Operating points of the site that are in force or have expired.")
    point_expires = gauge(
        "operating_point_expires_timestamp_seconds",
        "When an operating point of the site expires; from then on the point of its parent is in force.",
        *("model", "finding", "point"),
    )
    silent = gauge("silent", "1 while new studies are recorded alone: neither listed nor delivered.")
    silent_until = gauge(
        "silent_until_timestamp_seconds", "When silence has lasted for as long as the site has set; 0: it is not."
    )

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
        """Count whether the pixels contradict the stated view, by the sender if it is on the closed list."""
        if assessment.ap_share is None:
            return
        sender = bounded(assessment.calling_ae_title, calling_ae_titles)
        stated = ViewCheck.CONTRADICTED if assessment.view_contradicted else ViewCheck.AGREED
        outcome = stated if assessment.view in ("PA", "AP") else ViewCheck.NOT_STATED
        self.view_checks.labels(sender, outcome).inc()

    def begin_view_checks(self, calling_ae_titles: Collection[str]) -> None:
        """Export 0 for every sender on the closed list: a series that begins above 0 hides its first increase."""
        for sender in {*calling_ae_titles, OTHER}:
            for outcome in ViewCheck:
                self.view_checks.labels(sender, outcome)

    def count_decision(self, decision: TriageDecision) -> None:
        """Count one decision of a study; each image that arrives later makes another."""
        self.study_decisions.labels(decision.tag).inc()
        for reason in decision.reasons:
            self.study_reasons.labels(reason).inc()

    def watch_model_state(self, model: str, state: Callable[[], ModelState]) -> None:
        """Export the state of ``model`` (a name, without version); ``state`` is called at each scrape."""

        def holds(each: ModelState) -> Callable[[], float]:
            return lambda: float(state() is each)

        for each in ModelState:
            self.model_state.labels(model, each).set_function(holds(each))
