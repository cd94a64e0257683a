"""What the commands print."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable

from redis import Redis
from rich.console import Console
from rich.table import Table

from triage.decision import Tag, TriageDecision
from triage.records import to_record
from triage.spool import Spool
from triage.worklist import Worklist

_STYLES = {Tag.ABNORMAL: "bold red", Tag.NORMAL: "green", Tag.NOT_ASSESSED: "yellow"}
_WIDE = 200  # where the output is no terminal, nothing is cut


def print_worklist(redis_url: str, timeout_s: float, waiting_cap_s: float, limit: int, as_json: bool) -> None:
    """Print the first ``limit`` studies in reading order, as a table or as JSON lines."""
    with Redis.from_url(redis_url, socket_timeout=timeout_s) as client:
        index = Worklist(client)
        now = time.time()
        page = index.page(None, limit, now, waiting_cap_s)
        total = index.count()
    if as_json:
        for decision in page.entries:
            sys.stdout.write(json.dumps(to_record(decision)) + "\n")
        return
    console = console_for_people()
    console.print(worklist_table(page.entries, now))
    console.print(f"{len(page.entries)} of {total} studies")


def console_for_people() -> Console:
    """A console as wide as the terminal, or wide enough that nothing is cut where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDE)


def worklist_table(decisions: Iterable[TriageDecision], now: float) -> Table:
    """Studies in the order given, one row each."""
    table = Table(box=None, pad_edge=False)
    for heading in ("priority", "tag", "probability", "waiting", "accession", "reasons", "study"):
        table.add_column(heading, overflow="fold")
    for decision in decisions:
        table.add_row(*worklist_row(decision, now))
    return table


def worklist_row(decision: TriageDecision, now: float) -> list[str]:
    """The cells of one study; ``now`` in POSIX seconds."""
    style = _STYLES[decision.tag]
    return [
        decision.priority,
        f"[{style}]{decision.tag}[/{style}]",
        "" if decision.probability is None else f"{decision.probability:.3f}",
        _duration(now - decision.received_at),
        decision.accession_number,
        ", ".join(decision.reasons),
        decision.study_instance_uid,
    ]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def show_dead_letters(spool: Spool) -> None:
    """Print what was given up: key, when, after how many tries, and why."""
    table = Table(box=None, pad_edge=False)
    for heading in ("when", "tries", "why", "key"):
        table.add_column(heading, overflow="fold")
    count = 0
    for instance, note in spool.dead_letters():
        count += 1
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note.get("buried_at", 0)))
        table.add_row(when, str(note.get("tries", "")), str(note.get("error", "")), instance.key)
    console = console_for_people()
    console.print(table if count else "no dead letters")


def is_ready(url: str) -> tuple[bool, str]:
    """Ask a process's /readyz; whether it is ready, and what it said."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return True, answer.read().decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        return False, error.read().decode(errors="replace").strip()
    except OSError as error:
        return False, f"{url} does not answer: {error}"
