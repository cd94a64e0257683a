"""Dead letters, printed with the line that tries each again."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from triage.operations.visible import visible
from triage.spool.spool import Spool


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
        sys.stdout.write(f"{when}  after {tries} tries: {visible(str(why))}\n")
        # A line of its own, never folded: keys are copied.
        sys.stdout.write(f"  triage dead-letters --requeue {key}\n")
    if not (letters or deliveries):
        sys.stdout.write("no dead letters\n")
