"""Debian's HAProxy as a TCP proxy before listeners, on ports and in a folder of its own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.reverse_proxies import skip_without
from tests.support.wait import wait_for

HAPROXY = Path("/usr/sbin/haproxy")
ADDRESS = "127.0.0.2"
"""The address that it connects from."""


@contextmanager
def haproxy(folder: Path, servers: Sequence[int], options: str = "send-proxy-v2") -> Iterator[int]:
    """HAProxy before ports of 127.0.0.1, in turn; its own port. ``options`` are those of each server."""
    port = free_port()
    lines = "".join(f"  server s{n} 127.0.0.1:{each} {options}\n" for n, each in enumerate(servers))
    proxy = (
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"listen dicom\n  bind 127.0.0.1:{port}\n  balance roundrobin\n  source {ADDRESS}\n{lines}"
    )
    with running(folder, proxy):
        yield port


@contextmanager
def running(folder: Path, proxy: str) -> Iterator[None]:
    """HAProxy with a configuration, until it listens."""
    skip_without(HAPROXY, "haproxy")
    stats, configuration = folder / "haproxy.sock", folder / "haproxy.cfg"
    stats.unlink(missing_ok=True)
    configuration.write_text(f"global\n  stats socket {stats} mode 600\n{proxy}")
    with (folder / "haproxy.out").open("wb") as output:
        process = subprocess.Popen([str(HAPROXY), "-db", "-f", str(configuration)], stdout=output, stderr=output)
    try:
        wait_for(lambda: process.poll() is not None or _answers(stats), "HAProxy")
        assert process.poll() is None, (folder / "haproxy.out").read_text()
        yield
    finally:
        process.terminate()
        process.wait(20)


def ask(stats: Path, command: str) -> str:
    """What HAProxy answers at its own socket."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(stats))
        asked.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: asked.recv(1 << 16), b"")).decode()


def checks(folder: Path) -> list[str]:
    """The last result of each server's health check."""
    return [each.lstrip("* ") for each in _of_servers(folder, "check_status")]


def states(folder: Path) -> list[str]:
    """The state of each server: UP, once as many checks have passed as are asked for."""
    return _of_servers(folder, "status")


def _of_servers(folder: Path, column: str) -> list[str]:
    head, *rows = [line.split(",") for line in ask(folder / "haproxy.sock", "show stat").splitlines() if line]
    return [row[head.index(column)] for row in rows if row[1] not in ("FRONTEND", "BACKEND")]


def _answers(stats: Path) -> bool:
    """Asked at its own socket: a connection to its port would be one to a listener behind it."""
    try:
        return "Uptime" in ask(stats, "show info")
    except OSError:
        return False
