"""The worklist as a table or as JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import Literal

from rich.table import Table
from rich.text import Text

from triage.commands.output.console import console_for_people
from triage.commands.output.worklist_csv import write_csv
from triage.decision.findings import FindingState
from triage.decision.records import to_record
from triage.decision.statement import SCOPE
from triage.decision.types import Tag, TriageDecision
from triage.operations.visible import visible
from triage.worklist.worklist import Worklist

_LONGEST = 64
_STYLES = {Tag.ABNORMAL: "bold red", Tag.NORMAL: "green", Tag.NOT_ASSESSED: "yellow"}


Form = Literal["table", "json", "csv"]


def print_worklist(index: Worklist, waiting_cap_s: float, limit: int, form: Form = "table") -> None:
    """Print the first ``limit`` studies in reading order, as a table, JSON lines or CSV."""
    now = time.time()
    page = index.page(None, limit, now, waiting_cap_s)
    total = index.count()
    if form == "json":
        for decision in page.entries:
            sys.stdout.write(json.dumps({"scope": SCOPE, **to_record(decision)}) + "\n")
        return
    if form == "csv":
        return write_csv(page.entries, sys.stdout)
    console = console_for_people()
    console.print(SCOPE)
    console.print(worklist_table(page.entries, now))
    console.print(f"{len(page.entries)} of {total} studies")


def worklist_table(decisions: Iterable[TriageDecision], now: float) -> Table:
    """Studies in the order given, one row each."""
    table = Table(box=None, pad_edge=False)
    for heading in ("priority", "tag", "urgency", "probability", "waiting", "accession", "reasons", "present", "study"):
        table.add_column(heading, overflow="fold")
    for decision in decisions:
        table.add_row(*worklist_row(decision, now))
    return table


def worklist_row(decision: TriageDecision, now: float) -> list[Text]:
    """The cells of one study; ``now`` in POSIX seconds. Text, in which brackets mean nothing."""
    probability = "" if decision.probability is None else f"{decision.probability:.3f}"
    return [
        Text(decision.priority),
        Text(decision.tag, _STYLES[decision.tag]),
        Text(_urgency(decision)),
        Text(probability),
        Text(_duration(now - decision.received_at)),
        Text(_short(visible(decision.accession_number))),
        Text(", ".join(decision.reasons)),
        Text(", ".join(each.name for each in decision.findings if each.state is FindingState.PRESENT)),
        Text(visible(decision.study_instance_uid)),
    ]


def _urgency(decision: TriageDecision) -> str:
    """Return the urgency; empty where the tag says the same, as of a study that is not assessed."""
    return "" if decision.tag is not Tag.ABNORMAL else decision.urgency


def _short(text: str) -> str:
    """Cut where it is longer than any accession number (SH, 16 characters) and an escaped one may be."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
