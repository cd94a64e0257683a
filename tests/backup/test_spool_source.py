"""A spool in the midst of its work, backed up: what is restored is finished with nothing lost and nothing twice."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydicom.uid import generate_uid

from tests.support.builders import an_assessment
from tests.support.studies import a_radiograph, settle
from triage.backup import spool_source
from triage.backup.archive import Archive
from triage.backup.make import make
from triage.backup.restore import FolderTarget, restore
from triage.backup.spool_source import SpoolSource
from triage.channels.base import DeliveryStatus, Send, SendResult
from triage.channels.registry import channel_of
from triage.channels.sr.settings import SRDestination
from triage.decision.records import to_record
from triage.delivery.build import Builder, build_if_changed
from triage.delivery.deliverer import Deliverer
from triage.delivery.message_records import MessageRecords
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.dicom.dx_image import part10
from triage.dicom.part10 import data_set_in
from triage.metrics.delivery import DeliveryMetrics
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

PACS = SRDestination(name="pacs", host="127.0.0.1", port=1, called_ae_title="PACS", delay_s=0.0)
STUDIES = 8


class Peer:
    """The SR channel with a receiver that takes everything and keeps it."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._channel = channel_of(PACS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    @contextmanager
    def connect(self) -> Iterator[Send]:
        def send(payload: bytes) -> SendResult:
            self.received.append(payload)
            return SendResult(DeliveryStatus.DELIVERED, "stored")

        yield send


def received(spool: Spool) -> ReceivedInstance:
    content = part10(a_radiograph(str(generate_uid())))
    from io import BytesIO

    from pydicom import dcmread

    named = dcmread(BytesIO(content))
    instance = ReceivedInstance(
        str(named.StudyInstanceUID), str(named.SOPInstanceUID), sha256(data_set_in(content)).hexdigest()
    )
    part = spool.new_part()
    part.write_bytes(content)
    with part.open("rb") as file:
        spool.receive(part, file.fileno(), instance)
    return instance


def assess(spool: Spool, instance: ReceivedInstance) -> None:
    values = {name: getattr(instance, name) for name in ("study_instance_uid", "sop_instance_uid", "content_digest")}
    with spool.study_lock(instance.study_instance_uid):
        spool.write_assessment(instance, to_record(an_assessment(**values, received_at=1e9)))


class World:
    """Studies that live on a step at a time; of each step is said whether it takes the study's lock."""

    def __init__(self, spool: Spool, dice: random.Random) -> None:
        self.spool, self.outbox, self.channel, self.dice = spool, Outbox(spool), Peer(), dice
        self.outbox.prepare(["pacs"])
        self.acknowledged: list[ReceivedInstance] = []
        self.sent: dict[str, bytes] = {}
        self._lives: list[Iterator[Callable[[], object] | None]] = []
        self._next: list[tuple[bool, Callable[[], object]]] = []
        for _ in range(STUDIES):
            self.begin()

    def begin(self) -> None:
        life = self._life()
        self._next.append(next(life))
        self._lives.append(life)

    def _life(self) -> Iterator[Any]:
        known: list[ReceivedInstance] = []
        yield False, lambda: known.append(received(self.spool))
        (instance,) = known
        self.acknowledged.append(instance)
        uid = instance.study_instance_uid
        if self.dice.random() < 0.3:
            yield False, lambda: self.spool.bury(instance, {})
            yield False, lambda: self.spool.requeue(instance)
        yield True, lambda: assess(self.spool, instance)
        yield True, lambda: settle(self.spool, uid, "pacs")
        yield False, lambda: self.spool.file(instance)
        yield True, lambda: self._tell(uid)
        item = self._waiting(uid)
        self.sent[uid] = self.outbox.payload(item)
        yield False, lambda: self.outbox.postpone(item, "busy", time.time(), 5.0)
        item = self._waiting(uid)
        if self.dice.random() < 0.3:
            yield False, lambda: self.outbox.dead.bury(item, "refused", time.time())
            yield True, lambda: self.outbox.dead.requeue(item.key, time.time())
        item = self._waiting(uid)
        records, done = MessageRecords(self.spool), DeliveryState.DELIVERED
        yield False, lambda: records.settle(item, done, "delivered", "", time.time())
        yield False, lambda: self.outbox.tidy(item, DeliveryState.DELIVERED, time.time())

    def _tell(self, uid: str) -> None:
        build_if_changed(Builder(self.spool, self.outbox, "pacs", self.channel), uid, time.time())

    def _waiting(self, uid: str) -> Any:
        return next(each for each in self.outbox.waiting("pacs") if each.study_instance_uid == uid)

    def advance(self, locked: bool) -> None:
        """One study goes a step further, if it can while the backup holds a study's lock."""
        able = [n for n, (locks, _) in enumerate(self._next) if not (locks and locked)]
        if able:
            n = self.dice.choice(able)
            self._next[n][1]()
            try:
                self._next[n] = next(self._lives[n])
            except StopIteration:
                del self._lives[n], self._next[n]


@pytest.mark.parametrize("seed", range(int(os.environ.get("BACKUP_SEEDS", "6"))))
def test_whatever_happens_meanwhile_nothing_is_lost_and_nothing_is_told_twice(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    world = World(spool, random.Random(seed))
    for _ in range(world.dice.randrange(STUDIES * 8)):
        world.advance(locked=False)
    before = list(world.acknowledged)

    with monkeypatch.context() as patch:
        live_on_at_each_look(patch, world)
        archive = Archive(tmp_path / "backups")
        made = make([SpoolSource(spool)], archive, "0", 0, time.time)
    assert not made.manifest.left_out
    restore(archive, "", FolderTarget(tmp_path / "elsewhere"))
    found = Spool.open(tmp_path / "elsewhere" / "spool")

    assert all(found.find(each) for each in before)
    for uid in found.study_uids():
        for record in found.assessments(uid):
            assert found.find(ReceivedInstance(uid, record["sop_instance_uid"], record["content_digest"]))
    told = delivered_by(found)  # which puts right what a crash could have left
    finish(found)
    told += delivered_by(found)
    for instance in before:
        uid = instance.study_instance_uid
        (record,) = Outbox(found).records(uid)
        assert record.state is DeliveryState.DELIVERED, uid
        sent = [payload for payload in told if uid.encode() in payload]
        was_delivered = record.tries[-1]["detail"] == ""  # by the world
        assert len(sent) == (0 if was_delivered else 1)
        if any(each["outcome"] == "retry" for each in record.tries):  # built, and perhaps sent, before the backup
            assert sent in ([], [world.sent[uid]])


def test_what_is_built_after_the_outbox_was_listed_has_its_message(spool: Spool, tmp_path: Path) -> None:
    outbox = Outbox(spool)
    outbox.prepare(["pacs"])
    for _ in range(3):
        instance = received(spool)
        assess(spool, instance)
        settle(spool, instance.study_instance_uid, "pacs")
        spool.file(instance)
    one, *others = spool.study_uids()

    def told(*uids: str) -> None:
        for uid in uids:
            build_if_changed(Builder(spool, outbox, "pacs", Peer()), uid, time.time())

    class Meanwhile(SpoolSource):
        def groups(self, known: Any) -> Iterator[Any]:
            for group in super().groups(known):
                yield group
                if any(one in each.path for each in group):
                    told(*others)

    told(one)
    archive = Archive(tmp_path / "backups")
    assert make([Meanwhile(spool)], archive, "0", 0, time.time).manifest.left_out == ()
    restore(archive, "", FolderTarget(tmp_path / "elsewhere"))
    assert len(delivered_by(Spool.open(tmp_path / "elsewhere" / "spool"))) == 3


def test_a_message_that_is_missing_is_reported(spool: Spool, tmp_path: Path) -> None:
    outbox = Outbox(spool)
    outbox.prepare(["pacs"])
    instance = received(spool)
    assess(spool, instance)
    settle(spool, instance.study_instance_uid, "pacs")
    spool.file(instance)
    build_if_changed(Builder(spool, outbox, "pacs", Peer()), instance.study_instance_uid, time.time())
    for path in (spool.root / "outbox" / "pacs").iterdir():
        path.unlink()
    (said,) = make([SpoolSource(spool)], Archive(tmp_path / "backups"), "0", 0, time.time).manifest.left_out
    assert "pacs+0001.json (message): its message is missing" in said


def live_on_at_each_look(patch: pytest.MonkeyPatch, world: World) -> None:
    """The world goes on whenever the backup looks at a file, and does not hear of what the world does itself."""
    state = {"locked": False, "busy": False}
    lock = Spool.study_lock

    def went_on(original: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*arguments: Any, **named: Any) -> Any:
            if not state["busy"]:
                state["busy"] = True
                for _ in range(world.dice.choice((0, 0, 1, 2))):
                    world.advance(state["locked"])
                state["busy"] = False
            return original(*arguments, **named)

        return looked

    @contextmanager
    def locking(spool: Spool, uid: str) -> Iterator[None]:
        with lock(spool, uid):
            if state["busy"]:
                yield
                return
            state["locked"] = True
            try:
                yield
            finally:
                state["locked"] = False

    patch.setattr(Spool, "study_lock", locking)
    for name in ("read_item", "file_item", "folder_item"):
        patch.setattr(spool_source, name, went_on(getattr(spool_source, name)))
    for name in ("find", "waiting", "dead_letters"):
        patch.setattr(Spool, name, went_on(getattr(Spool, name)))


def finish(spool: Spool) -> None:
    """Act as the worker and a person: score what waits, try again what is dead."""
    outbox = Outbox(spool)
    for instance, _ in list(spool.dead_letters()):
        spool.requeue(instance)
    for key, *_ in list(outbox.dead.letters("pacs")):
        outbox.dead.requeue(key, time.time())
    for instance in list(spool.waiting()):
        assess(spool, instance)
        settle(spool, instance.study_instance_uid, "pacs")
        spool.file(instance)


def delivered_by(spool: Spool) -> list[bytes]:
    """Return what a receiver gets in ten rounds of delivery."""
    peer = Peer()
    Outbox(spool).prepare(["pacs"])
    later = time.time() + 3600
    deliverer = Deliverer(spool, Outbox(spool), PACS, peer, DeliveryMetrics(CollectorRegistry()), now=lambda: later)
    for _ in range(3):
        deliverer.round()
    return peer.received


def test_what_is_no_study_s_comes_along_and_what_is_of_the_moment_does_not(spool: Spool, tmp_path: Path) -> None:
    spool.installation_uid()
    spool.model_switches.set_disabled("tiny-adult", True)
    spool.write(spool.root / "control" / "clock.json", "{}")
    spool.make_folder(spool.root / "reports")
    spool.write(spool.root / "reports" / "0-a.json", "{}")
    spool.quarantine(a_part(spool), "broken")
    canary = spool.partition("canary")
    canary.write(canary.root / "last.json", "{}")
    a_part(spool)
    with spool.workers.hold("a-worker"):
        archive = Archive(tmp_path / "backups")
        make([SpoolSource(spool)], archive, "0", 0, time.time)
    restore(archive, "", FolderTarget(tmp_path / "elsewhere"))

    def files(root: Path) -> set[str]:
        return {str(each.relative_to(root)) for each in root.rglob("*") if each.is_file()}

    left = {name for name in files(spool.root) if name.startswith("incoming/")}
    assert len(left) == 1
    assert files(tmp_path / "elsewhere" / "spool") == files(spool.root) - left


def a_part(spool: Spool) -> Path:
    part = spool.new_part()
    part.write_bytes(b"?")
    return part
