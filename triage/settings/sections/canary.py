"""Settings of the canary."""

from __future__ import annotations

from pydantic import Field

from triage.setting_types import AETitle, Section


class CanarySettings(Section):
    """Generated study that passes through the whole service."""

    interval_minutes: float = Field(
        0.0,
        ge=0,
        description="Minutes between two canaries: a generated study, sent to our own DICOM port and delivered to "
        "every destination with canary = true, listed and counted nowhere. 0: only when `triage canary` is called.",
    )
    timeout_s: float = Field(120.0, gt=0, le=3600, description="Seconds in which it has to pass every stage.")
    ae_title: AETitle = Field(
        "CXR_CANARY", description="AE title that it calls itself; from this machine it is always let in."
    )
    host: str = Field("", description="Where it finds the listener; empty: listener.host, or loopback for 0.0.0.0.")
