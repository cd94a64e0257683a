"""Settings of the delivering process."""

from __future__ import annotations

from pydantic import Field

from triage.setting_types import Port, Section


class DeliverSettings(Section):
    """Delivery of results; the destinations are in the section ``channels``."""

    interval_s: float = Field(1.0, gt=0, description="Seconds between two checks for results to deliver.")
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(9170, description="HTTP port of the delivery's metrics and health. 0: any.")
