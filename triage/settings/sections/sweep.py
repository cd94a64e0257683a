"""Settings of the sweep."""

from __future__ import annotations

from pydantic import Field

from triage.setting_types import Port, Section


class SweepSettings(Section):
    """Reconciliation of files and queue."""

    interval_s: float = Field(30.0, gt=0, description="Seconds between two sweeps.")
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(9150, description="HTTP port of the sweep's metrics and health. 0: any.")
