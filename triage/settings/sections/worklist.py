"""Settings of the worklist."""

from __future__ import annotations

from pydantic import Field

from triage.setting_types import Section


class WorklistSettings(Section):
    """Reading order."""

    waiting_cap_s: float = Field(
        0.0, ge=0, description="Seconds of waiting after which a study comes before all others; 0 is no cap."
    )
    expire_after_days: float = Field(
        0.0,
        ge=0,
        description="Days after its last result from which a study is listed no longer, read or not; 0: only what was "
        "read leaves the list.",
    )
