"""Metrics of certificates and revocation lists, of every process that uses them."""

from __future__ import annotations

from triage.metrics.registry import MetricGroup, counter, gauge


class CertificateMetrics(MetricGroup):
    """Expiry of our certificates. {use}: listener, reports, client, or the destination that it is shown to."""

    certificate_not_after = gauge(
        "tls_certificate_not_after_timestamp_seconds", "When a certificate of ours expires.", "use"
    )


class ServerTLSMetrics(CertificateMetrics):
    """TLS of a port of ours. {use}: listener, reports. {reason}: triage.dicom.tls.Failure."""

    crl_next_update = gauge(
        "tls_crl_next_update_timestamp_seconds", "When a list of revoked certificates expires.", "use"
    )
    tls_failures = counter("tls_failures_total", "Connections that came to no TLS.", "reason")
