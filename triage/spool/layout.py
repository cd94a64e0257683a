"""The layout of the spool, and the steps from an earlier layout to it: docs/adr/0046.

Version 1, layout 1:

    VERSION                                        "1": the oldest layout that a program must know (spool/layout.py)
    LAYOUT                                         "1": the layout that it has
    INSTALLATION                                   a UID of this installation, made when first needed
    incoming/   <random>.part                      being received; worthless after a crash
    inbox/      <study>+<sop>+<digest>.dcm         acknowledged and not yet tagged: the work list
    dead/       <study>+<sop>+<digest>.dcm|.json   given up after the last try; a person can requeue
    quarantine/ <random>.dcm                       refused as unparsable, kept for inspection
    studies/<hh>/<study>/                          hh: two hex digits of a hash, to keep folders small
                  <sop>+<digest>.dcm               a tagged object, byte for byte as received
                  <sop>+<digest>.json              its assessment
                  decision.json                    the study's one current result
                  history.jsonl                    every result the study ever had
                  workitem.json                    the state of its workitem: worklist/workitem_store.py
                  reading.jsonl                    the acts of readers: worklist/reader_acts.py
                  recall.jsonl                     what was scored again and corrected: spool/recall_file.py
                  claims.jsonl                     who claimed its workitem on our page: worklist/claims.py
                  shown.jsonl                      what was shown to whom and when: worklist/shown.py
                  adjudication.jsonl               disagreements, judgements, audits: adjudication/journal.py
                  contacts.jsonl                   openings by readers, where paging is on: worklist/contacts.py
                  pages.jsonl                      pages that were sent about it: paging/store.py
                  deliveries/                      the objects built from it: delivery/outbox.py
    marks/ outbox/ undeliverable/ unread/          pending deliveries: delivery/outbox.py
    adjudication/                                  studies with cases to be judged: adjudication/marks.py
    paging/                                        raised studies that are paged: paging/store.py
    reports/    <time>-<hash>.json                 reports that came before their study: inbound_reports/early_store.py
    control/disabled-models/<name>                 kill switches
    control/disabled-channels/<name>
    control/model-registry.jsonl                   acts of persons on versions of models: model/registry_file.py
    control/<name>.lock                            held while a thing of that name is replaced
    preferences/<hash of a user's name>.json       how the user has arranged the list: web/api/preferences.py
    control/shown-since                            from when on shown.jsonl is kept: worklist/tag_visibility.py
    moving/                                        what a move brought, and that it has ended: spool/moving/notes.py
    control/destinations/<name>.json               why nothing is sent there now, and the time of the next try
    locks/                                         one file for each live worker, held by flock
    canary/ validation/                            partitions: spools of objects that are no patient's

VERSION is the oldest layout that a program must know to use the spool; a program refuses any other. A change that
earlier programs can ignore raises LAYOUT alone, and a return to the earlier release is possible. A change that they
would misread raises both, and the earlier release refuses the spool.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from triage.runtime.durable import write_durably
from triage.spool.errors import LayoutError

LAYOUT_FILE = "LAYOUT"
FIRST = 1
"""The layout of a spool without the file LAYOUT, as release 0.1 wrote it."""


@dataclass(frozen=True)
class LayoutStep:
    """A step from the layout before to ``to``. ``what``: a description for people.

    ``run`` gets the spool's folder. It may be killed at any point and is then run again, so it must be idempotent.
    ``harmless``: processes of this release and the one before may run meanwhile, so that a start takes the step.
    """

    to: int
    what: str
    run: Callable[[Path], None]
    harmless: bool = True


STEPS: tuple[LayoutStep, ...] = ()
"""Every step in order, each to the next layout. None since release 0.1."""
LAYOUT = FIRST
"""The layout that this program writes: that of the last step."""


def layout_of(root: Path) -> int:
    """Return the layout of the spool at ``root``. Raises LayoutError if it cannot be read."""
    try:
        text = (root / LAYOUT_FILE).read_text()
    except FileNotFoundError:
        return FIRST
    if not re.fullmatch(r"[1-9][0-9]{0,5}\n?", text):
        raise LayoutError(f"{root / LAYOUT_FILE} is not a number: restore it from a backup")
    return int(text)


def pending(root: Path, steps: Sequence[LayoutStep] = STEPS) -> list[LayoutStep]:
    """Return the steps that the spool lacks; none for a spool of a later release. Raises LayoutError."""
    found = layout_of(root)
    return [step for step in steps if step.to > found]


def advance(root: Path, todo: Sequence[LayoutStep]) -> None:
    """Take these steps in order, and record each when it is done. Raises OSError; then call it again."""
    for step in todo:
        step.run(root)
        write_durably(root / LAYOUT_FILE, f"{step.to}\n")


def at_start(root: Path, steps: Sequence[LayoutStep] = STEPS) -> None:
    """Take the harmless steps. Raises LayoutError, with what to do, if another step is needed; OSError."""
    todo = pending(root, steps)
    if heavy := next((step for step in todo if not step.harmless), None):
        raise LayoutError(
            f"spool {root} has layout {layout_of(root)}, this program needs {steps[-1].to} ({heavy.what}): stop every "
            "process, take a backup (triage backup), then: triage migrate"
        )
    advance(root, todo)
