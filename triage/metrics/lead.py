"""The metric of a process of which one leads among all hosts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from triage.metrics.process import ProcessMetrics
from triage.metrics.registry import MetricGroup, families, gauge
from triage.metrics.tls import CertificateMetrics


class LeadMetrics(MetricGroup):
    """{role}: sweep, deliver, reports. {host}: the name of this host."""

    leads = gauge(
        "leads",
        "1 in the process that leads among all hosts, 0 in one that stands by; of one machine, always 1.",
        "role",
        "host",
    )


class _WhileLeading(Collector):
    """The families of a registry, in a standby without those that only the leader knows."""

    def __init__(self, registry: CollectorRegistry, leads: Callable[[], bool], withheld: Collection[str]) -> None:
        self._registry, self._leads, self._withheld = registry, leads, withheld

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        leads = self._leads()
        return (each for each in self._registry.collect() if leads or each.name not in self._withheld)


def while_leading(
    registry: CollectorRegistry, leads: Callable[[], bool], withheld: Collection[str]
) -> CollectorRegistry:
    """Return a registry of the families in ``registry``; in a standby without those of the names ``withheld``."""
    shown = CollectorRegistry()
    shown.register(_WhileLeading(registry, leads, withheld))
    return shown


def gauges_of(*groups: type[MetricGroup]) -> frozenset[str]:
    """Return the names of the gauges of shared state in ``groups``: zeros of a standby would be next to true values.

    Counters are there from the start, so that an alert sees the first event of each; and so is what a process knows of
    itself: its release and its certificates.
    """
    own = {*families(ProcessMetrics), *families(CertificateMetrics), *families(LeadMetrics)}
    declared = [item for group in groups for item in families(group).items()]
    return frozenset(family.name for attribute, family in declared if family.kind == "gauge" and attribute not in own)
