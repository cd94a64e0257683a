"""A primary of Redis, its replicas and three Sentinels (Debian's), on ports and in folders of their own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.receivers import free_port
from tests.support.redis_server import redis_executable
from tests.support.wait import wait_for

SENTINEL = Path("/usr/bin/redis-sentinel")
NAME, PASSWORD = "Reading-Room", "pass word"


class WatchedRedis:
    """Two servers, one of them the primary, and three Sentinels of which two have to agree."""

    def __init__(self) -> None:
        if not SENTINEL.exists():
            pytest.skip(f"{SENTINEL}: sudo apt-get install redis-sentinel")
        self.folder = Path(tempfile.mkdtemp(prefix="cxr-sentinel-"))
        self.servers = [free_port(), free_port()]
        self.sentinels = [free_port() for _ in range(3)]
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_all(self) -> None:
        self.start_server(self.servers[0])
        self.start_server(self.servers[1], self.servers[0])
        with self.server(self.servers[1]) as replica:
            wait_for(lambda: replica.info("replication").get("master_link_status") == "up", "the replica")
        for port in self.sentinels:
            self._start_sentinel(port)
        with Redis(port=self.sentinels[0]) as asked:
            wait_for(lambda: self._is_known(asked), "the Sentinels to know each other and the replica")

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def settings(self) -> dict[str, str]:
        """The variables that name it."""
        password = self.folder / "password"
        password.write_text(f"{PASSWORD}\n")
        return {
            "TRIAGE_REDIS_URL": f"redis://{NAME}/1",
            "TRIAGE_REDIS_PASSWORD_FILE": str(password),
            "TRIAGE_REDIS_SENTINELS": ",".join(f"127.0.0.1:{port}" for port in self.sentinels),
            "TRIAGE_REDIS_TIMEOUT_S": "2",
        }

    def server(self, port: int) -> Redis:
        return Redis(port=port, db=1, password=PASSWORD, socket_timeout=5.0)

    def primary(self) -> int:
        """The port of the primary, by the Sentinels."""
        for port in self.sentinels:
            try:
                with Redis(port=port, socket_timeout=5.0) as asked:
                    return int(asked.sentinel_get_master_addr_by_name(NAME)[1])
            except RedisError:
                continue
        raise AssertionError("no Sentinel answers")

    def kill(self, port: int) -> None:
        """kill -9 of a server or a Sentinel."""
        process = self._running.pop(port)
        process.kill()
        process.wait()

    def start_server(self, port: int, primary: int | None = None) -> None:
        command = [redis_executable(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._folder(port))]
        command += ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--save", "", "--appendonly", "yes"]
        command += ["--maxmemory-policy", "noeviction"]
        self._start(port, [*command, "--replicaof", "127.0.0.1", str(primary)] if primary else command)
        with self.server(port) as client:
            wait_for(lambda: _answers(client), "the server")

    def _start_sentinel(self, port: int) -> None:
        configuration = self._folder(port) / "sentinel.conf"
        configuration.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {configuration.parent}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.servers[0]} 2\n"
            f'sentinel auth-pass {NAME} "{PASSWORD}"\n'
            f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 5000\n"
        )
        self._start(port, [str(SENTINEL), str(configuration)])
        with Redis(port=port, socket_timeout=5.0) as client:
            wait_for(lambda: _answers(client), "the Sentinel")

    def _start(self, port: int, command: list[str]) -> None:
        with (self._folder(port) / "output").open("ab") as output:
            self._running[port] = subprocess.Popen(command, stdout=output, stderr=output)

    def _folder(self, port: int) -> Path:
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        return folder

    def _is_known(self, asked: Redis) -> bool:
        known = asked.sentinel_master(NAME)
        return (known["num-other-sentinels"], known["num-slaves"]) == (2, 1)


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False
