"""Metrics of `triage web`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triage.metrics.labels import FAST_SECONDS
from triage.metrics.registry import MetricFactory


def web_metrics(make: MetricFactory) -> Mapping[str, Any]:
    return {
        "http_requests": make.counter("http_requests_total", "HTTP requests answered.", "route", "status"),
        "http_duration": make.histogram("http_request_duration_seconds", "One HTTP request.", FAST_SECONDS, "route"),
        "sign_ins": make.counter("sign_ins_total", "Attempts to sign in.", "outcome"),
        "audit_messages": make.counter("audit_messages_total", "Audit messages.", "outcome"),
    }
