"""Whether what comes will be shown to anybody."""

from __future__ import annotations

from collections.abc import Iterator

from triage.service.check.finding import CheckResult, warning
from triage.settings.sections import DecisionSettings


def check_silence(decision: DecisionSettings) -> Iterator[CheckResult]:
    """A line where the site has results recorded alone, which somebody may have forgotten."""
    if decision.silent:
        yield warning(
            "silence",
            "decision.silent is set: what comes is scored and recorded, and neither listed, raised nor delivered, not "
            "later either (docs/how-to/runbook.md, Silent installation)",
        )
