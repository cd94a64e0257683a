"""Metrics of `triage web`."""

from __future__ import annotations

from triage.metrics.labels import FAST_SECONDS
from triage.metrics.process import ProcessMetrics
from triage.metrics.registry import counter, histogram


class WebMetrics(ProcessMetrics):
    """HTTP requests, sign-ins and audit messages.

    {route}: the route's pattern, never the requested path. {outcome} of sign-ins: SignInOutcome; of audit messages:
    written, failed.
    """

    http_requests = counter("http_requests_total", "HTTP requests answered.", "route", "status")
    http_duration = histogram("http_request_duration_seconds", "One HTTP request.", FAST_SECONDS, "route")
    sign_ins = counter("sign_ins_total", "Attempts to sign in.", "outcome")
    audit_messages = counter("audit_messages_total", "Audit messages.", "outcome")
