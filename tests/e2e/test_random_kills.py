"""kill -9 at random, over all processes, while senders send: what was answered 0x0000 ends in one current result."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.support.dicom_peer import DX, RawPeer, data_set_of, response_status
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import Role, Roles, a_chest, assert_one_result_each, is_done, read_bytes, roles
from tests.support.wait import wait_for
from triage.runtime.sockets import open_port
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

SEED = 20261125
KILLING_S = 25.0
STUDIES = 60
SLOTS = ("listen 0", "listen 1", "work 0", "work 1", "sweep 0")


@dataclass(frozen=True)
class Sent:
    """An object that senders send."""

    instance: ReceivedInstance
    data_set: bytes


def objects() -> list[Sent]:
    """Studies of a frontal, every third with a lateral."""
    files = [a_chest(number) for number in range(STUDIES)]
    files += [a_chest(number, view="LL") for number in range(0, STUDIES, 3)]
    return [_sent(file) for file in files]


def _sent(file: bytes) -> Sent:
    dataset, data_set = read_bytes(file), data_set_of(file)
    digest = sha256(data_set).hexdigest()
    return Sent(ReceivedInstance(str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID), digest), data_set)


@dataclass
class Sender:
    """Sends all objects again and again, as a PACS does whose destination is troubled, and notes what was stored."""

    port: int
    everything: list[Sent]
    order: random.Random
    stop: threading.Event
    stored: set[ReceivedInstance] = field(default_factory=set)

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self._associate()
            except (OSError, AssertionError):  # the listener died; it is tried again
                self.stop.wait(0.1)

    def _associate(self) -> None:
        with RawPeer(self.port) as peer:
            assert peer.associate()[0] == 0x02
            for sent in self.order.sample(self.everything, 8):
                peer.send_store(DX, sent.instance.sop_instance_uid, sent.data_set)
                kind, body = peer.receive()
                if kind == 0x04 and response_status(body[6:]) == 0x0000:
                    self.stored.add(sent.instance)
                self.stop.wait(0.05)


@dataclass
class Killer:
    """Kills and starts again, whatever it meets."""

    running: Roles
    server: RedisServer
    chance: random.Random
    up: dict[str, Role] = field(default_factory=dict)
    kills: list[str] = field(default_factory=list)

    def start(self) -> None:
        for slot in SLOTS:
            if slot not in self.up or self.up[slot].process.poll() is not None:
                role, index = slot.split()
                self.up[slot] = self.running.start(role, "--index", index)

    def kill_one(self) -> None:
        slot = self.chance.choice([*SLOTS, "redis", "flush"])
        self.kills.append(slot)
        if slot == "redis":
            self.server.kill()
            self.server.start()
        elif slot == "flush":
            with self.server.client() as client:
                client.flushall()
        else:
            self.up[slot].kill()
            self.start()


def test_random_kills(tmp_path: Path, redis_server: RedisServer) -> None:
    models = tmp_path / "models"
    write_model(models, "tiny-adult", bias=-10)
    with open_port("127.0.0.1", 0, shared=True) as free:
        port: int = free.getsockname()[1]
    settings = {"listener_port": str(port), "listener_processes": "2", "worker_batch_size": "4"}
    with roles(tmp_path, redis_server.url, models, **settings) as running:
        killer = Killer(running, redis_server, random.Random(SEED))
        killer.start()
        for slot in ("listen 0", "listen 1"):
            wait_for(lambda slot=slot: killer.up[slot].said("listening as"), slot)
        everything = objects()
        stop = threading.Event()
        senders = [Sender(port, everything, random.Random(SEED + number), stop) for number in range(2)]
        threads = [threading.Thread(target=sender.run) for sender in senders]
        for thread in threads:
            thread.start()
        try:
            _kill_for(KILLING_S, killer)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        stored = senders[0].stored | senders[1].stored
        assert len(stored) > STUDIES / 2, f"too few to show anything; killed: {killer.kills}"
        _assert_that_all_end_in_one_result(running, stored, everything, killer)


def _kill_for(seconds: float, killer: Killer) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(killer.chance.uniform(0.2, 1.5))  # how long nothing happens is part of the dice
        killer.kill_one()


def _assert_that_all_end_in_one_result(
    running: Roles, stored: set[ReceivedInstance], everything: list[Sent], killer: Killer
) -> None:
    spool = running.spool
    killer.start()
    wait_for(lambda: is_done(spool), f"every object, after killing {killer.kills}", timeout_s=120.0)
    assert not list(spool.dead_letters())
    there = [sent.instance for sent in everything if spool.find(sent.instance) is not None]
    assert stored <= set(there)
    assert_one_result_each(spool, running.redis_url, there)
    assert len(_files(spool)) == len(there)


def _files(spool: Spool) -> list[Path]:
    return list(spool.studies.glob("*/*/*.dcm"))
