"""Metrics of `triage reports`."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from triage.metrics.labels import REPORT_OUTCOMES
from triage.metrics.registry import MetricFactory


@dataclass(frozen=True)
class ReportMetrics:
    """What the one process sees that hears of reports. {destination}: names from the settings only."""

    reports: Counter  # {outcome}: REPORT_OUTCOMES
    studies_reported: Counter
    reports_remembered: Gauge
    report_connections: Gauge
    workitems_completed: Counter  # {destination}
    workitem_looks: Counter  # {destination, outcome}: ok, failed


def create_reports(registry: CollectorRegistry) -> ReportMetrics:
    """Register what is counted about reports. For the process alone that hears of them."""
    make = MetricFactory(registry)
    metrics = ReportMetrics(
        reports=make.counter("reports_total", "Orders in report messages, by what came of them.", "outcome"),
        studies_reported=make.counter(
            "studies_reported_total", "Studies that left the list because a message said that they were reported."
        ),
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
