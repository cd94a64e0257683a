"""The worklist as CSV, a row for each study."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

from triage.decision.findings import StudyFinding
from triage.decision.statement import SCOPE
from triage.decision.types import TriageDecision
from triage.runtime.csv_table import TableWriter

COLUMNS = (
    "scope", "study_instance_uid", "accession_number", "tag", "urgency", "priority", "order_priority", "raised",
    "probability", "reasons", "findings", "scores", "operating_points", "model_id", "received_at", "tagged_at",
)  # fmt: skip


def write_csv(decisions: Iterable[TriageDecision], out: TextIO) -> None:
    """Write the studies in the order given. Findings are NAME=STATE, scores and operating points NAME=NUMBER."""
    writer = TableWriter(out, "\r\n")
    writer.row(COLUMNS)
    for decision in decisions:
        writer.row(_row(decision))


def _row(decision: TriageDecision) -> tuple[str, ...]:
    return (
        SCOPE, decision.study_instance_uid, decision.accession_number, decision.tag, decision.urgency,
        decision.priority, decision.order_priority or "", str(decision.raised).lower(),
        _number(decision.probability), " ".join(decision.reasons), *_findings(decision.findings),
        decision.model_id or "", _iso_utc(decision.received_at), _iso_utc(decision.tagged_at),
    )  # fmt: skip


def _findings(findings: Iterable[StudyFinding]) -> tuple[str, str, str]:
    found = tuple(findings)
    return (
        " ".join(f"{each.name}={each.state}" for each in found),
        " ".join(f"{each.name}={_number(each.probability)}" for each in found if each.probability is not None),
        " ".join(f"{each.name}={each.threshold:g}" for each in found if each.threshold is not None),
    )


def _number(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.6f}"


def _iso_utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
