"""What the commands print."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from triage.decision.decide import Tag, TriageDecision
from triage.decision.records import to_record
from triage.operations.explain import explanation
from triage.operations.trace import gather
from triage.queue.score_queue import ScoreQueue, connect
from triage.spool.spool import ReceivedInstance, Spool
from triage.worklist.index import Worklist

if TYPE_CHECKING:
    from triage.dicom.requestor import Peer
    from triage.operations.shadow import Comparison
    from triage.settings.load import ModelSettings

_STYLES = {Tag.ABNORMAL: "bold red", Tag.NORMAL: "green", Tag.NOT_ASSESSED: "yellow"}
_WIDE = 200  # nothing is cut or folded: a terminal wraps by itself, and a UID that is copied from it stays whole


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
    """A console that is wide enough for our tables, whatever the terminal."""
    return Console(width=max(_WIDE, Console().width))


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


def show_dead_letters(spool: Spool, deliveries: Sequence[tuple[str, int, str, str]] = ()) -> None:
    """Print what was given up: when, after how many tries, why, and the whole line that tries it again.

    ``deliveries`` are those of the ways out: when, tries, why, key.
    """
    letters = [
        (
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note.get("buried_at", 0))),
            note.get("tries", "?"),
            note.get("error", "not noted"),
            instance.key,
        )
        for instance, note in spool.dead_letters()
    ]
    for when, tries, why, key in [*letters, *deliveries]:
        sys.stdout.write(f"{when}  after {tries} tries: {why}\n")
        # A line of its own, never folded: keys are copied.
        sys.stdout.write(f"  triage dead-letters --requeue {key}\n")
    if not (letters or deliveries):
        sys.stdout.write("no dead letters\n")


def requeue(spool: Spool, redis_url: str, timeout_s: float, keys: Sequence[str] | None) -> None:
    """Take dead letters (all for None) back into the inbox and queue them.

    Raises FileNotFoundError for a key of no dead letter and ValueError for what is no key.
    """
    if keys is None:
        chosen = [instance for instance, _ in spool.dead_letters()]
    else:
        chosen = [ReceivedInstance.from_key(key) for key in keys]
    for instance in chosen:
        spool.requeue(instance)
    try:
        with connect(redis_url, timeout_s) as client:
            jobs = ScoreQueue(client)
            for instance in chosen:
                jobs.again(instance)
        told = "queued again"
    except RedisError as error:
        told = f"back in the inbox; Redis does not answer ({type(error).__name__}), the next sweep queues them"
    sys.stdout.write(f"{len(chosen)} {told}\n")


def print_explanation(study: str, spool: Spool, redis_url: str, timeout_s: float) -> None:
    """Print all that is known of a study. Raises InvalidUIDError, and LookupError for a study that is not known."""
    with connect(redis_url, timeout_s) as client:
        trace = gather(study, spool, ScoreQueue(client).describe)
    sys.stdout.write(explanation(trace, time.time()))


def send_with_progress(paths: Sequence[Path], destination: Peer, view: str | None, age: int | None) -> bool:
    """Send files and folders; whether all were stored.

    The bar goes to standard error, so that the list of failures can be piped.
    """
    from triage.sender.send import find_files, send

    files = find_files(paths)
    failed = 0
    with _progress() as progress:
        task = progress.add_task("sending", total=len(files))
        for outcome in send(files, destination, view, age):
            progress.advance(task)
            if outcome.error:
                failed += 1
                progress.console.print(f"{outcome.path}: {outcome.error}", markup=False, soft_wrap=True)
    sys.stdout.write(f"{len(files) - failed} of {len(files)} files stored\n")
    return bool(files) and not failed


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def show_models(models: ModelSettings, disabled: frozenset[str]) -> None:
    """Print the model folders, whom each is for, and whether it scores."""
    from triage.model.card import CARD, ModelRefusedError, load_card

    names = models.names or tuple(sorted(path.parent.name for path in models.path.glob(f"*/{CARD}")))
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "version", "finding", "ages", "state"):
        table.add_column(heading, overflow="fold")
    for name in names:
        try:
            card = load_card(models.path / name)
        except ModelRefusedError as error:
            table.add_row(name, "", "", "", f"refused: {error}")
            continue
        use = card.intended_use
        ages = f"from {use.age_from:g}" + ("" if use.age_below is None else f" to below {use.age_below:g}")
        state = _state(name, models, disabled, demo=card.demo)
        table.add_row(name, card.version, card.target.finding, ages, state)
    console_for_people().print(table if names else f"no model in {models.path}")


def _state(name: str, models: ModelSettings, disabled: frozenset[str], *, demo: bool) -> str:
    if name in disabled:
        return "switched off"
    if demo and not models.allow_demo:
        return "demonstration, not used (models.allow_demo)"
    return "in shadow" if name in models.shadow else "in service"


def show_shadow(comparisons: Sequence[Comparison]) -> None:
    """Print how often the models in shadow gave another tag than those in service."""
    table = Table(box=None, pad_edge=False)
    shown = {Tag.ABNORMAL: "abnormal", Tag.NORMAL: "normal", Tag.NOT_ASSESSED: "not assessed"}
    table.add_column("in service")
    table.add_column("in shadow")
    for heading in ("images", "same tag", *(f"{shown[a]} → {shown[b]}" for a in shown for b in shown if a != b)):
        table.add_column(heading, justify="right")
    for each in comparisons:
        changes = (str(each.counts.get((a, b), 0)) for a in shown for b in shown if a != b)
        same = f"{each.agreed} ({each.agreed / each.images:.1%})"
        table.add_row(each.model, each.shadow, str(each.images), same, *changes)
    console_for_people().print(table if comparisons else "no image was scored by a model in shadow beside another one")


def is_ready(url: str) -> tuple[bool, str]:
    """Ask a process's /readyz; whether it is ready, and what it said."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return True, answer.read().decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        return False, error.read().decode(errors="replace").strip()
    except OSError as error:
        return False, f"{url} does not answer: {error}"
