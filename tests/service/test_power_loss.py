"""Power lost after every system call of the spool's writers: nothing that a peer or a person was told is lost.

The calls are those of a real process (strace); which states a disk may be in, ``tests/support/power_loss.py`` says.
After each of them the spool is opened as at a start, what waits is scored, what is marked is delivered.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import power_loss, power_loss_scenario
from tests.support.power_loss import Disk, Tree
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.spool import files as files_module
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.reader_acts import Act, acts_of

pytestmark = [
    pytest.mark.skipif(not power_loss.STRACE.exists(), reason="recording system calls: apt-get install strace"),
    pytest.mark.timeout(900),  # some hundred starts of a spool, and strace
]


@dataclass
class Told:
    """Results that peers and people have received so far."""

    open: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    switched: list[str] = field(default_factory=list)
    removing: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        what, _, name = line.partition(" ")
        if what.lower() in vars(self):
            vars(self)[what.lower()].append(name)


def check(tree: Tree, told: Told, place: Path) -> None:
    """Start on what the disk kept, do what waits, and look for everything that was told."""
    shutil.rmtree(place, ignore_errors=True)
    power_loss.write(tree, place)
    spool = Spool.open(place)
    waiting = list(spool.waiting())
    for instance in waiting:
        assert_whole(spool, instance)
    power_loss_scenario.score(spool, waiting)
    for instance, _ in list(spool.dead_letters()):
        spool.requeue(instance)
        power_loss_scenario.score(spool, [instance])
    again: list[str] = []
    power_loss_scenario.deliver(spool, again.append)
    for key in told.stored:
        instance = ReceivedInstance.from_key(key)
        if instance.study_instance_uid not in told.removing:
            assert_result(spool, instance, told, again)
    for uid in told.read:
        assert [step.act for step in acts_of(spool, uid)].count(Act.READ) >= 1
    assert set(told.switched) <= spool.model_switches.disabled()


def assert_whole(spool: Spool, instance: ReceivedInstance) -> None:
    """Whatever lies in the inbox is whole, told or not: it is named by its content."""
    content = spool.inbox_path(instance).read_bytes()
    assert content[128:132] == b"DICM", "an object in the inbox is cut short"


def assert_result(spool: Spool, instance: ReceivedInstance, told: Told, again: list[str]) -> None:
    uid = instance.study_instance_uid
    assert spool.find(instance) == spool.filed_path(instance)
    assert_content(spool, instance)
    decision = spool.decision(uid)
    assert decision is not None, "no decision"
    assessed = {each["content_digest"] for each in spool.assessments(uid)}
    assert instance.content_digest in assessed, "no assessment"
    assert instance.sop_instance_uid in decision["evidence"] or "NOT_ASSESSED" in decision["tag"]
    outbox = Outbox(spool)
    assert not outbox.to_be_told(uid)
    assert uid in told.sent + again, "never delivered"
    left = [(each.number, each.state, [attempt["outcome"] for attempt in each.tries]) for each in outbox.records(uid)]
    assert DeliveryState.WAITING not in [state for _, state, _ in left], f"left waiting: {left}"


ORIGINAL: dict[str, bytes] = {}


def assert_content(spool: Spool, instance: ReceivedInstance) -> None:
    known = ORIGINAL.setdefault(instance.key, spool.filed_path(instance).read_bytes())
    assert spool.filed_path(instance).read_bytes() == known


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder for the states of the disk: there are many of them."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize(("synced", "each"), [("whole", 2), ("by-file", 4)])  # the n-th state after each call
def test_nothing_that_was_told_is_lost_whenever_the_power_fails(
    tmp_path: Path,
    in_memory: Path,
    synced: str,
    each: int,
    monkeypatch: pytest.MonkeyPatch,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    ORIGINAL.clear()
    root = tmp_path / "recorded"
    command = [sys.executable, "-m", "tests.support.power_loss_scenario", str(root), synced]
    calls = power_loss.record(command, tmp_path)
    for path in root.rglob("*.dcm"):  # as it was received: what a disk keeps is compared with this
        uid = path.parent.name
        ORIGINAL[f"{uid}+{path.stem}"] = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # what comes after is not recorded: it need not last
    monkeypatch.setattr(files_module, "sync_file_system", lambda folder: None)
    disk, told = Disk(root), Told()
    disk.nodes[0].is_folder = True
    seen: set[int] = set()
    failures: dict[str, list[int]] = defaultdict(list)
    steps_done = states = 0
    for number, call in enumerate(calls):
        if call.name == "write" and call.texts and call.descriptor and not call.descriptor.startswith(str(root)):
            heard = call.texts[0].decode("ascii", "replace")
            for line in heard.splitlines():
                told.hear(line)
        elif not disk.apply(call):
            continue
        steps_done += 1
        if not told.open:
            continue
        for tree in disk.after_power_loss():
            known = hash((frozenset(tree.items()), sum(map(len, vars(told).values()))))
            if known in seen:
                continue
            seen.add(known)
            if len(seen) % int(os.environ.get("POWER_LOSS_EACH", each)):
                continue
            states += 1
            try:
                check(tree, told, in_memory / "after")
            except Exception as error:
                failures[f"{type(error).__name__}: {error}"[:300]].append(number)
    assert not failures, {why: (len(at), [calls[each].name for each in at[:3]]) for why, at in failures.items()}
    assert len(told.stored) == 5
    assert steps_done > 100
    assert states > 100
    record_testsuite_property(f"power_loss_{synced}", f"{steps_done} system calls, {states} states of the disk")
