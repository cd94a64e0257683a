"""The clock of a running service set ahead and back (Debian's libfaketime): what that must not delete, hide or hold."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.support.builders import a_decision
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import ROLE, Role, Roles, roles
from tests.support.studies import a_study
from tests.support.wait import wait_for
from tests.support.whole_service import fetch
from triage.decision.records import to_record
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.queue.score_queue import connect
from triage.runtime.sockets import open_port
from triage.spool.clock import ClockState, read_clocks
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist

DAY = 24 * 3600.0
STUDIES = 12
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="a clock that jumps: apt-get install faketime")


class FakeClock:
    """A clock that processes read from a file, and that the test sets."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "time"
        self.set("+0")

    def set(self, offset: str) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(offset + "\n")
        part.replace(self._file)

    def variables(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    return FakeClock(tmp_path)


@pytest.fixture
def running(tmp_path: Path, redis_server: RedisServer) -> Iterator[Roles]:
    with open_port("127.0.0.1", 0, shared=False) as free:
        port = str(free.getsockname()[1])
    days = {"spool_retention_days": "30", "worklist_expire_after_days": "20"}
    with roles(tmp_path, redis_server.url, tmp_path, sweep_metrics_port=port, **days) as running:
        yield running


def finished(spool: Spool) -> None:
    """Studies of yesterday that were read, and one that was not."""
    for number in range(STUDIES + 1):
        study = f"1.2.{number}"
        spool.write_decision(study, to_record(a_decision(study, tagged_at=time.time() - DAY, received_at=time.time())))
        if number < STUDIES:
            act = {
                "act": "read",
                "at": time.time(),
                "who": "a",
                "through": "page",
                "revision": "c" * 64,
                "tag": "NORMAL",
            }
            (spool.study_folder(study) / "reading.jsonl").write_text(json.dumps(act))
        os.utime(spool.study_folder(study), (time.time() - DAY,) * 2)


def started(running: Roles, clock: FakeClock, role: str = "sweep") -> Role:
    """A process by the clock of the test alone: the test's own processes keep the machine's."""
    env = [f"{name}={value}" for name, value in clock.variables().items()]
    return running.start(role, command=["/usr/bin/env", *env, *ROLE])


def sweeps(running: Roles) -> float:
    """Return the number of sweeps that ended well."""
    text = fetch(int(running.settings["TRIAGE_SWEEP_METRICS_PORT"]), "/metrics")[1]
    lines = [line for line in text.splitlines() if line.startswith('cxr_triage_sweep_runs_total{outcome="ok"}')]
    return float(lines[0].split()[-1]) if lines else 0.0


def after_sweeps(running: Roles, count: int) -> None:
    seen = sweeps(running)
    wait_for(lambda: sweeps(running) >= seen + count, f"{count} sweeps", 60.0)


def test_a_clock_that_was_forty_days_ahead_deletes_and_hides_nothing(
    running: Roles, clock: FakeClock, redis_server: RedisServer
) -> None:
    spool = running.spool
    finished(spool)
    (spool.root / "control" / "clock.json").write_text(steady_for_days())
    sweep = started(running, clock)
    after_sweeps(running, 2)
    assert len(list(spool.study_uids())) == STUDIES + 1

    clock.set("+40d")
    after_sweeps(running, 4)
    assert sweep.said("the clock jumped by +3456")
    assert len(list(spool.study_uids())) == STUDIES + 1
    with connect(redis_server.url, 5.0) as client:
        assert [each.study_instance_uid for each in IndexedWorklist(client).page(None, 100, time.time()).entries] == [
            "1.2.12"
        ]
    port = int(running.settings["TRIAGE_SWEEP_METRICS_PORT"])
    assert "\ncxr_triage_clock_jumped 1.0" in fetch(port, "/metrics")[1]

    clock.set("+0")
    after_sweeps(running, 3)
    assert len(list(spool.study_uids())) == STUDIES + 1
    assert sweep.said("the clock jumped by -345")


def test_a_person_s_word_has_retention_go_on_and_spares_what_nobody_read(running: Roles, clock: FakeClock) -> None:
    spool = running.spool
    finished(spool)
    (spool.root / "control" / "clock.json").write_text(steady_for_days())
    running.settings["TRIAGE_WORKLIST_EXPIRE_AFTER_DAYS"] = "0"
    started(running, clock)
    after_sweeps(running, 1)
    clock.set("+40d")
    after_sweeps(running, 2)
    assert len(list(spool.study_uids())) == STUDIES + 1
    env = [f"{name}={value}" for name, value in clock.variables().items()]
    said = running.start("clock", "--trust", command=["/usr/bin/env", *env, *ROLE])
    assert said.wait() == 0
    assert said.said("believed: studies are removed")
    wait_for(lambda: list(spool.study_uids()) == ["1.2.12"], "the read studies to be removed", 60.0)
    after_sweeps(running, 2)
    assert list(spool.study_uids()) == ["1.2.12"]


def test_a_destination_that_a_clock_a_day_ahead_left_alone_is_tried_when_it_is_right_again(
    running: Roles, clock: FakeClock, tmp_path: Path
) -> None:
    port, outbox = free_port(), Outbox(running.spool)
    (tmp_path / "triage.toml").write_text(
        f'[[channels.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {port}\ndelay_s = 0.0\nfirst_interval_s = 300.0\n'
    )
    running.settings |= {"TRIAGE_CONFIG": str(tmp_path / "triage.toml"), "TRIAGE_DELIVER_METRICS_PORT": "0"}
    study = a_study(running.spool, "ris")
    clock.set("+1d")
    deliver = started(running, clock, "deliver")
    wait_for(lambda: outbox.pause("ris")[0], "the destination to be left alone", 60.0)
    assert outbox.pause("ris")[1] > time.time() + DAY
    with mllp_listener(acknowledging("AA"), port=port) as ris:
        clock.set("+0")
        wait_for(lambda: outbox.records(study)[-1].state is DeliveryState.DELIVERED, "the delivery", 60.0)
    assert len(ris.received) == 1
    assert deliver.terminate() == 0


def steady_for_days() -> str:
    """Return the record of a clock that has not jumped since the machine was started."""
    now = read_clocks()
    return json.dumps(asdict(ClockState(now.at, now.since_boot, now.boot, steady_s=3 * DAY)))
