"""Processes of the hosts as systemd keeps them: each in a session of its own, started again when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from tests.acceptance.hosts.background import Background

_RESTART_S = 1.0
_STOP_S = 90.0
_WATCH_S = 0.3


@dataclass
class Unit:
    """One unit: what it runs, and where it logs."""

    name: str
    command: list[str]
    log: Path
    environment: Mapping[str, str]
    wanted: bool = True
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    ended_at: float = 0.0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdout=log, stderr=log, start_new_session=True
            )
        self.starts += 1

    def watch(self) -> None:
        """Start it again when all of it has ended, as systemd does: what is left of it is killed in time."""
        if self.process is None:
            return self.start() if self.wanted else None
        if self.process.poll() is None:
            return None
        self.ended_at = self.ended_at or time.monotonic()
        left, gone_s = list(self.left()), time.monotonic() - self.ended_at
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL if gone_s > _STOP_S else signal.SIGTERM)
        if not left and gone_s > _RESTART_S:
            self.process, self.ended_at = None, 0.0
        return None

    def left(self) -> Iterator[psutil.Process]:
        """The processes of its session."""
        assert self.process is not None
        for pid in psutil.pids():
            with suppress(OSError, psutil.NoSuchProcess):
                if os.getsid(pid) == self.process.pid:
                    yield psutil.Process(pid)

    def kill(self, role: str = "") -> bool:
        """kill -9 of its main process, or of the child with this role; False if there is none."""
        if self.process is None or self.process.poll() is not None:
            return False
        pids = [self.process.pid] if not role else [each.pid for each in self._children() if _role(each) == role]
        for pid in pids[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def roles(self) -> set[str]:
        return {_role(each) for each in self._children()} - {""}

    def _children(self) -> list[psutil.Process]:
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []


def _role(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        known = ("listen", "work", "web", "sweep", "deliver", "reports")
        return next((word for word in process.cmdline() if word in known), "")
    return ""


@dataclass
class Units:
    """All units, and the thread that keeps them up."""

    all: dict[str, Unit] = field(default_factory=dict)
    keeper: Background = field(default_factory=Background)

    def add(self, unit: Unit) -> None:
        self.all[unit.name] = unit

    def start(self) -> None:
        self.keeper.begin(partial(self.keeper.repeat, self._keep, _WATCH_S))

    def _keep(self) -> None:
        for unit in list(self.all.values()):
            unit.watch()

    def end(self, last: Collection[str] = ()) -> dict[str, int | None]:
        """SIGTERM to all, to those whose names end with a word of ``last`` when the others have ended.

        Returns the exit status of each; what does not end is killed, and has none.
        """
        self.keeper.end()
        running = [unit for unit in self.all.values() if unit.process is not None]
        of_last = [unit for unit in running if unit.name.partition("/")[2] in last]
        first = [unit for unit in running if unit not in of_last]
        return _terminated(first) | _terminated(of_last)


def _terminated(units: list[Unit]) -> dict[str, int | None]:
    for unit in units:
        with suppress(ProcessLookupError):
            unit.process.terminate()  # type: ignore[union-attr]
    return {unit.name: _status(unit) for unit in units}


def _status(unit: Unit) -> int | None:
    assert unit.process is not None
    try:
        return unit.process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for each in unit.left():
            each.kill()
