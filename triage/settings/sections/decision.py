"""Settings of the step from tags to priorities."""

from __future__ import annotations

from pydantic import Field

from triage.decision.types import Priority
from triage.setting_types import Section


class DecisionSettings(Section):
    """Rules from a study's tag to its priority."""

    baseline_priority: Priority = Field(Priority.MEDIUM, description="Priority of an order that carries none.")
    lower_normal: bool = Field(False, description="Let NORMAL lower the priority to LOW; needs worklist.waiting_cap_s.")
    prior_after_days: float = Field(
        0.0,
        ge=0,
        description="Days between acquisition and receipt from which a study is a prior: tagged, but it raises "
        "nothing, is scored behind all others, and no HL7 is sent. 0: none is. Set it before priors are fetched or an "
        "archive is migrated.",
    )
    silent: bool = Field(
        False,
        description="Silent installation: studies that begin from now on are received, scored and recorded, and "
        "neither listed, raised nor delivered, not later either. Start work again.",
    )
    silent_days: float = Field(30.0, gt=0, description="Days of silence after which an alert reminds of it.")
