"""Settings of the step from tags to priorities."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from triage.decision.types import Priority
from triage.decision.urgency import OF_POSITIVES, Urgency, UrgencyTable
from triage.setting_types import Section


def _named_urgency(text: str) -> str:
    name, _, urgency = text.rpartition("=")
    if re.fullmatch(r"[a-z][a-z0-9_]*|\*", name.strip()) and urgency.strip() in OF_POSITIVES:
        return text
    raise ValueError(
        f"{text!r} is no FINDING=CLASS with a class of {', '.join(OF_POSITIVES)}, as lung_opacity=urgent: a positive "
        "finding never puts a study below its order's priority"
    )


NamedUrgency = Annotated[str, AfterValidator(_named_urgency)]


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
    urgency: tuple[NamedUrgency, ...] = Field(
        ("*=urgent",),
        description="FINDING=CLASS: urgency of a positive finding (critical, urgent, nonurgent); * is for all others. "
        "critical and urgent raise a study, nonurgent keeps the order's priority. critical needs a card that states "
        "sensitivity and ppv of the finding.",
    )
    silent: bool = Field(
        False,
        description="Silent installation: studies that begin from now on are received, scored and recorded, and "
        "neither listed, raised nor delivered, not later either. Start work again.",
    )
    silent_days: float = Field(30.0, gt=0, description="Days of silence after which an alert reminds of it.")

    @property
    def urgency_table(self) -> UrgencyTable:
        """``urgency`` by finding."""
        pairs = (each.rpartition("=") for each in self.urgency)
        return UrgencyTable({finding.strip(): Urgency(urgency.strip()) for finding, _, urgency in pairs})

    @field_validator("urgency")
    @classmethod
    def _names_each_finding_once(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        names = [each.rpartition("=")[0].strip() for each in entries]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: named twice, and a finding has one urgency")
        return entries
