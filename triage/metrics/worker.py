"""Metrics of `triage work`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triage.metrics.labels import BATCH_SIZES, DISTANCE_RATIOS, FAST_SECONDS, PROBABILITIES, WAITING_SECONDS
from triage.metrics.registry import MetricFactory


def worker_metrics(make: MetricFactory) -> Mapping[str, Any]:
    return {
        "stage_duration": make.histogram("stage_duration_seconds", "One stage of one image.", FAST_SECONDS, "stage"),
        "time_to_tag": make.histogram(
            "time_to_tag_seconds", "From an object's receipt to its study's decision.", WAITING_SECONDS
        ),
        "batch_size": make.histogram("batch_size", "Images scored at once.", BATCH_SIZES),
        "images": make.counter(
            "images_total", "Images assessed, by tag, and whether a study's tag counts them.", "tag", "counted"
        ),
        "image_reasons": make.counter("image_reasons_total", "Reasons beside the tags of images.", "reason"),
        "study_decisions": make.counter("study_decisions_total", "Decisions of studies, by tag.", "tag"),
        "study_reasons": make.counter("study_reasons_total", "Reasons beside the tags of studies.", "reason"),
        "score": make.histogram("score", "Probabilities that a model gave.", PROBABILITIES, "model"),
        "distance_ratio": make.histogram(
            "distance_ratio", "Distance from the training images over the model's limit.", DISTANCE_RATIOS, "model"
        ),
        "view_checks": make.counter(
            "view_checks_total",
            "Images whose stated view was compared with the pixels.",
            *("calling_ae_title", "outcome"),
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
        "silent": make.gauge("silent", "1 while new studies are recorded alone: neither listed nor delivered."),
        "silent_until": make.gauge(
            "silent_until_timestamp_seconds", "When silence has lasted for as long as the site has set; 0: it is not."
        ),
        "model_state": make.gauge("model_state", "1 for the state that a model is in.", "model", "state"),
    }
