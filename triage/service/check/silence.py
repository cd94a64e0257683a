"""Check for a silent installation."""

from __future__ import annotations

from collections.abc import Iterator

from triage.service.check.finding import CheckResult, warning
from triage.settings.sections.decision import DecisionSettings


def check_silence(decision: DecisionSettings) -> Iterator[CheckResult]:
    """Yield a warning where results are recorded only, in case that was forgotten."""
    if decision.silent:
        yield warning(
            "silence",
            "decision.silent is set: what comes is scored and recorded, and neither listed, raised nor delivered, not "
            "later either (docs/how-to/runbook.md, Silent installation)",
        )
