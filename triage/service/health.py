"""The port of each process for health and metrics."""

from __future__ import annotations

from typing import Protocol

from prometheus_client import CollectorRegistry

from triage.runtime.health import HealthServer, Readiness
from triage.service.ready_addresses import nth_port


class MetricsAddress(Protocol):
    """Settings of a process that has such a port."""

    @property
    def metrics_host(self) -> str:
        """Address to listen on."""

    @property
    def metrics_port(self) -> int:
        """Port of the first process of its kind; 0: any."""


def health_server(
    registry: CollectorRegistry, ready: Readiness, address: MetricsAddress, index: int = 0
) -> HealthServer:
    """Return the health server of the process ``index`` of its kind. Raises StartError if it cannot listen."""
    return HealthServer(registry, ready, nth_port(address.metrics_port, index), address.metrics_host)
