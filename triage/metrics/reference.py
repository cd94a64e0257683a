"""The table of docs/reference/metrics.md; ``make reference`` writes it."""

from __future__ import annotations

from collections.abc import Mapping

from triage.metrics.canary import CanaryMetrics
from triage.metrics.delivery import DeliveryMetrics
from triage.metrics.lead import LeadMetrics
from triage.metrics.listener import ListenerMetrics
from triage.metrics.paging import PagingMetrics
from triage.metrics.process import ProcessMetrics
from triage.metrics.registry import MetricGroup, families
from triage.metrics.reports import ReportMetrics
from triage.metrics.sweep import SweepMetrics
from triage.metrics.web import WebMetrics
from triage.metrics.worker import WorkerMetrics

GROUPS: Mapping[str, tuple[type[MetricGroup], ...]] = {
    "listen": (ListenerMetrics,),
    "work": (WorkerMetrics,),
    "sweep": (LeadMetrics, SweepMetrics, CanaryMetrics),
    "deliver": (LeadMetrics, DeliveryMetrics, PagingMetrics),
    "reports": (LeadMetrics, ReportMetrics),
    "web": (WebMetrics,),
}
"""The groups of families that each process may export; those of the canary and of paging only where they are on."""


def reference() -> str:
    """Return all metrics as a Markdown table: one row a family, in the order of the processes."""
    exporters: dict[str, list[str]] = {}
    rows = {}
    for process in GROUPS:
        for group in groups_of(process):
            for family in families(group).values():
                if process not in exporters.setdefault(family.name, []):
                    exporters[family.name].append(process)
                rows[family.name] = family
    lines = [
        f"| `{name}` | {family.kind} | {', '.join(exporters[name])} | {_labels(family.labels)} | {family.help_text} |"
        for name, family in rows.items()
    ]
    headings = ("| metric | type | processes | labels | meaning |", "|---|---|---|---|---|")
    return "\n".join([*headings, *lines]) + "\n"


def groups_of(process: str) -> tuple[type[MetricGroup], ...]:
    """Return the groups of a process, with the families of every process first."""
    return (ProcessMetrics, *GROUPS[process])


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
