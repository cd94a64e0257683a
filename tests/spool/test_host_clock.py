"""The offset of a host's clock: exported where a store has a clock of its own, told once, and no reason to stop."""

from __future__ import annotations

import errno
import logging
import math
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from triage.service.listen import _ListenerState
from triage.spool.host_clock import HostClock
from triage.spool.spool import Spool


class Database:
    """A database whose clock is so far behind this host's; None: it does not answer."""

    def __init__(self, behind_s: float | None) -> None:
        self.behind_s = behind_s

    def read(self, sql: str) -> list[list[object]]:
        if self.behind_s is None:
            raise OSError(errno.ECONNREFUSED, "no server")
        return [[time.time() - self.behind_s]]


def clock_of(database: Database, exported: list[float]) -> HostClock:
    store: Any = SimpleNamespace(tables=database)
    return HostClock(store, exported.append)


def test_the_offset_is_exported_and_what_is_unknown_is_not_zero() -> None:
    database, exported = Database(30.0), list[float]()
    clock = clock_of(database, exported)
    assert math.isnan(exported[-1])
    clock.look()
    assert exported[-1] == pytest.approx(30.0, abs=5.0) and clock.why_off() == ""
    database.behind_s = None
    clock.look()
    assert math.isnan(exported[-1]) and clock.why_off() == ""


@pytest.mark.parametrize(("behind_s", "said"), [(300.0, "+300 s"), (-300.0, "-300 s")])
def test_a_host_that_is_off_says_so_once_and_goes_on(
    behind_s: float, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(behind_s)
    clock = clock_of(database, [])
    listener = _ListenerState(lambda: "", clock.why_off, 104)
    with caplog.at_level(logging.INFO):
        clock.look()
        clock.look()
        assert listener.ready() == (True, f"listening on 104; this host's clock is {said} from the database's")
        database.behind_s = 0.0
        clock.look()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert listener.ready() == (True, "listening on 104")


def test_a_database_that_answers_late_is_not_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the answer is between those of the question and of its arrival."""
    monotonic, exported = iter([100.0, 240.0]), list[float]()
    clock = clock_of(Database(-120.0), exported)  # two minutes later, when it has answered at last
    monkeypatch.setattr("triage.spool.clock.time.monotonic", lambda: next(monotonic))
    clock.look()
    assert exported[-1] == pytest.approx(-50.0, abs=5.0) and clock.why_off() == ""


def test_in_files_there_is_one_clock(tmp_path: Path) -> None:
    exported = list[float]()
    clock = HostClock(Spool.open(tmp_path / "spool"), exported.append)
    clock.follow(threading.Event())
    assert exported == [] and clock.why_off() == ""
