"""Hosts as network namespaces on one bridge, which tests/acceptance/hosts.sh makes and removes."""

from __future__ import annotations

import ctypes
import http.client
import os
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

_CLONE_NEWNET = 0x40000000
CLOCK = "clock.so"
"""clock.c, as the script compiled it into the folder of the trial."""
T = TypeVar("T")


@dataclass(frozen=True)
class Host:
    """One host: its namespace, its address, its folder, and how far its clock is from this machine's."""

    name: str
    address: str
    prefix: str
    folder: Path
    clock_s: int = 0

    @property
    def namespace(self) -> str:
        return f"{self.prefix}-{self.name}"

    def inside(self) -> list[str]:
        """The words before a command that is to run on it, by the machine's clock."""
        return ["ip", "netns", "exec", self.namespace]

    def by_its_clock(self) -> list[str]:
        """The words behind them for its own clock. Durations are those of the machine: its quartz is right."""
        if not self.clock_s:
            return []
        return ["env", f"LD_PRELOAD={self.folder.parent}/{CLOCK}", f"CLOCK_OFFSET_S={self.clock_s}"]

    def cut(self) -> None:
        """Take its cable out of the switch: it is told nothing, and neither are the others."""
        self._link("nomaster")

    def restore(self) -> None:
        self._link("master", "switch")

    def _link(self, *words: str) -> None:
        command = ["ip", "-n", f"{self.prefix}-net", "link", "set", f"to-{self.name}", *words]
        subprocess.run(command, check=True, timeout=30)

    @contextmanager
    def without(self, ports: Sequence[int]) -> Iterator[None]:
        """Drop what this host sends to servers at these TCP ports, to its own ones too, while the context is open."""
        rule = ["OUTPUT", "-p", "tcp", "-m", "multiport", "--dports", ",".join(map(str, ports)), "-j", "DROP"]
        subprocess.run([*self.inside(), "iptables", "-w", "-I", *rule], check=True, timeout=30)
        try:
            yield
        finally:
            subprocess.run([*self.inside(), "iptables", "-w", "-D", *rule], check=True, timeout=30)

    def asked(self, port: int, path: str, timeout_s: float = 30.0, content: bytes | None = None) -> tuple[int, str]:
        """Status and body of a page that it shows on its loopback; 0 where nothing answers. ``content`` is JSON."""
        return self._from_there(lambda: _fetched(f"http://127.0.0.1:{port}{path}", timeout_s, content))

    def _from_there(self, act: Callable[[], T]) -> T:
        """Do something in a thread of its own that is in this host's network."""
        found: list[T | BaseException] = []

        def run() -> None:
            try:
                _enter(self.namespace)
                found.append(act())
            except BaseException as error:
                found.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]


def _enter(namespace: str) -> None:
    """setns(2): of this thread alone."""
    with Path(f"/run/netns/{namespace}").open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)


def _fetched(url: str, timeout_s: float, content: bytes | None = None) -> tuple[int, str]:
    asked = urllib.request.Request(url, content, {"Content-Type": "application/json"} if content is not None else {})
    try:
        with _opened(asked, timeout_s) as answer:
            return int(answer.status), answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


def _opened(asked: urllib.request.Request, timeout_s: float) -> Any:
    """The answer, whatever its status is: its body may be cut off too."""
    try:
        return urllib.request.urlopen(asked, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        return error


def fetched(address: str, port: int, path: str, timeout_s: float = 2.0) -> tuple[int, str]:
    """The same of a port that is open to the network."""
    return _fetched(f"http://{address}:{port}{path}", timeout_s)
