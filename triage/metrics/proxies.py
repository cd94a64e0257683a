"""Metrics of TCP proxies in front of a port."""

from __future__ import annotations

from triage.dicom.proxy_header import HeaderFault
from triage.metrics.registry import MetricGroup, counter


class ProxyMetrics(MetricGroup):
    """Connections of the proxies of proxy_protocol_from. {reason}: triage.dicom.proxy_header.HeaderFault."""

    proxy_headers_refused = counter(
        "proxy_headers_refused_total",
        "Connections of proxies of proxy_protocol_from without a valid PROXY header.",
        "reason",
    )

    def begin_at_zero(self) -> None:
        """Export every reason: a series that begins with its first count would not show as an increase."""
        for fault in HeaderFault:
            self.proxy_headers_refused.labels(fault)

    def count_refused_header(self, fault: HeaderFault) -> None:
        """Count a connection that was closed."""
        self.proxy_headers_refused.labels(fault).inc()
