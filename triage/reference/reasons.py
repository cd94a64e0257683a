"""The reference of reasons: every one with its meaning and what to do."""

from __future__ import annotations

from triage.decision.reasons import Reason, ReasonGroup
from triage.reference.marked_page import table


def reasons() -> dict[str, str]:
    """Return one generated part: a table of the reasons for each group."""
    return {"reasons": "\n".join(_group(group) for group in ReasonGroup)}


def _group(group: ReasonGroup) -> str:
    rows = [(f"`{reason}`", reason.meaning) for reason in Reason if reason.group is group]
    return f"## {group.value}\n\n" + table(("reason", "meaning, and what to do"), rows)
