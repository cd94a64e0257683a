"""Metrics of `triage listen`."""

from __future__ import annotations

from triage.metrics.labels import FAST_SECONDS
from triage.metrics.process import ProcessMetrics
from triage.metrics.proxies import ProxyMetrics
from triage.metrics.registry import counter, gauge, histogram
from triage.metrics.tls import ServerTLSMetrics


class ListenerMetrics(ProcessMetrics, ServerTLSMetrics, ProxyMetrics):
    """Associations and objects received.

    {calling_ae_title}: see ``bounded``. {transfer_syntax}: a negotiated UID or other. {outcome}: StoreOutcome.
    {reason} of associations: Rejection; of presentation contexts: ContextRejection.
    {why}: NoRequest. {how}: Ending.
    """

    associations_accepted = counter("associations_accepted_total", "Associations accepted.", "calling_ae_title")
    associations_rejected = counter("associations_rejected_total", "Associations rejected.", "reason")
    association_requests_failed = counter(
        "association_requests_failed_total", "Connections that came to no association, unrejected.", "why"
    )
    contexts_rejected = counter(
        "presentation_contexts_rejected_total", "Presentation contexts rejected in accepted associations.", "reason"
    )
    associations_ended = counter("associations_ended_total", "Accepted associations that ended.", "how")
    associations_open = gauge("associations_open", "Associations that are open now.")
    objects_received = counter("objects_received_total", "Objects received by C-STORE.", "transfer_syntax", "outcome")
    received_bytes = counter("received_bytes_total", "Bytes of the data sets received.")
    store_duration = histogram("store_duration_seconds", "From a C-STORE's command to our answer.", FAST_SECONDS)
    last_object = gauge("last_object_timestamp_seconds", "When the last object was stored; 0 if none was since start.")
    enqueue_failures = counter(
        "enqueue_failures_total", "Stored objects that could not be enqueued; the sweep does it."
    )
    high_water_refusals = counter(
        "high_water_refusals_total", "C-STORE requests answered 0xA700 because the spool is too full."
    )
