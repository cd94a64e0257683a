"""Metrics of `triage reports`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from triage.metrics.labels import ReportOutcome
from triage.metrics.process import ProcessMetrics
from triage.metrics.proxies import ProxyMetrics
from triage.metrics.registry import counter, gauge
from triage.metrics.tls import ServerTLSMetrics


class ReportMetrics(ProcessMetrics, ServerTLSMetrics, ProxyMetrics):
    """Report messages and completed workitems.

    {outcome} of reports: ReportOutcome; of polls: ok, failed. {destination}: names from the settings only.
    """

    reports = counter("reports_total", "Orders in report messages, by outcome.", "outcome")
    studies_reported = counter(
        "studies_reported_total", "Studies that left the list because a message said that they were reported."
    )
    reports_remembered = gauge("reports_remembered", "Reports that are remembered for studies that may come.")
    report_connections = gauge("report_connections", "Connections of senders of reports that are open now.")
    workitems_completed = counter(
        "workitems_completed_total", "Workitems of ours that a UPS manager calls completed.", "destination"
    )
    workitem_looks = counter(
        "workitem_looks_total", "Looks at a UPS manager for what was completed.", "destination", "outcome"
    )

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        for outcome in ReportOutcome:  # from the start: an alert sees the first of each as an increase
            self.reports.labels(outcome)
