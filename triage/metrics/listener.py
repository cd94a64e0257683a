"""Metrics of `triage listen`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triage.metrics.labels import FAST_SECONDS
from triage.metrics.registry import MetricFactory


def listener_metrics(make: MetricFactory) -> Mapping[str, Any]:
    return {
        "associations_accepted": make.counter(
            "associations_accepted_total", "Associations accepted.", "calling_ae_title"
        ),
        "associations_rejected": make.counter("associations_rejected_total", "Associations rejected.", "reason"),
        "association_requests_failed": make.counter(
            "association_requests_failed_total", "Connections that came to no association, unrejected.", "why"
        ),
        "contexts_rejected": make.counter(
            "presentation_contexts_rejected_total", "Presentation contexts rejected in accepted associations.", "reason"
        ),
        "associations_ended": make.counter("associations_ended_total", "Accepted associations that ended.", "how"),
        "associations_open": make.gauge("associations_open", "Associations that are open now."),
        "objects_received": make.counter(
            "objects_received_total", "Objects received by C-STORE.", "transfer_syntax", "outcome"
        ),
        "received_bytes": make.counter("received_bytes_total", "Bytes of the data sets received."),
        "store_duration": make.histogram(
            "store_duration_seconds", "From a C-STORE's command to our answer.", FAST_SECONDS
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
