"""The layout of the spool, and the steps from an earlier one to it: docs/adr/0046.

    VERSION   the oldest layout that a program must know to work on this spool; another VERSION is refused
    LAYOUT    the layout that it has; a spool without it is of layout 1, which 0.1 wrote

A change that earlier programs do not mind raises LAYOUT alone, and going back a release is possible. One that they
would misread raises both, and the earlier release refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from triage.runtime.durable import write_durably

LAYOUT_FILE = "LAYOUT"
FIRST = 1
"""Of a spool that does not say."""


class LayoutError(Exception):
    """The layout of a spool cannot be read or must not be used; the message says what to do."""


@dataclass(frozen=True)
class LayoutStep:
    """From the layout before to ``to``; ``what`` it does, in words.

    ``run`` is given the spool's folder. It may be killed anywhere and is then run again: done twice it does no more.
    ``harmless``: processes of this release and the one before may work meanwhile, so that a start does it unasked.
    """

    to: int
    what: str
    run: Callable[[Path], None]
    harmless: bool = True


STEPS: tuple[LayoutStep, ...] = ()
"""Every step there is, in their order, each by one. Nothing has changed since 0.1."""
LAYOUT = FIRST
"""What this program writes: that of the last step."""


def layout_of(root: Path) -> int:
    """The layout of the spool at ``root``. Raises LayoutError for one that cannot be told."""
    try:
        text = (root / LAYOUT_FILE).read_text()
    except FileNotFoundError:
        return FIRST
    if not re.fullmatch(r"[1-9][0-9]{0,5}\n?", text):
        raise LayoutError(f"{root / LAYOUT_FILE} is not a number: restore it from a backup")
    return int(text)


def pending(root: Path, steps: Sequence[LayoutStep] = STEPS) -> list[LayoutStep]:
    """The steps that the spool lacks; none for one of a later release. Raises LayoutError."""
    found = layout_of(root)
    return [step for step in steps if step.to > found]


def advance(root: Path, todo: Sequence[LayoutStep]) -> None:
    """Take these steps in their order, noting each when it is done. Raises OSError; then call it again."""
    for step in todo:
        step.run(root)
        write_durably(root / LAYOUT_FILE, f"{step.to}\n")


def at_start(root: Path, steps: Sequence[LayoutStep] = STEPS) -> None:
    """Take the steps that harm nobody. Raises LayoutError, with what to do, if there is another one. Raises OSError."""
    todo = pending(root, steps)
    if heavy := next((step for step in todo if not step.harmless), None):
        raise LayoutError(
            f"spool {root} has layout {layout_of(root)}, this program needs {steps[-1].to} ({heavy.what}): stop every "
            "process, take a backup (triage backup), then: triage migrate"
        )
    advance(root, todo)
