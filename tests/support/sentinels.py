"""A primary of Redis, its replicas and three Sentinels (Debian's), on ports and in folders of their own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.certificates import Certificate, authority
from tests.support.ports import free_port
from tests.support.redis_server import redis_executable
from tests.support.wait import wait_for

SENTINEL = Path("/usr/bin/redis-sentinel")
NAME, PASSWORD = "Reading-Room", "pass word"


class WatchedRedis:
    """Two servers, one of them the primary, and three Sentinels of which two have to agree."""

    def __init__(self, *, tls: bool = False, sentinels_tls: bool = True, host: str = "IP:127.0.0.1") -> None:
        """``tls``: all speak TLS alone; without ``sentinels_tls`` the Sentinels' own port is plain. ``host``: of the
        servers' certificates."""
        if not SENTINEL.exists():
            pytest.skip(f"{SENTINEL}: sudo apt-get install redis-sentinel")
        self.folder = Path(tempfile.mkdtemp(prefix="cxr-sentinel-"))
        self.servers = [free_port(), free_port()]
        self.sentinels = [free_port() for _ in range(3)]
        self._tls, self._sentinels_tls = tls, tls and sentinels_tls
        self.authority = authority(self.folder) if tls else None
        self._certificate = self.authority.certificate("server", host=host) if self.authority else None
        self._of_sentinel = self.authority.certificate("sentinel") if self.authority else None
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
        with self._sentinel(self.sentinels[0]) as asked:
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
        of_tls = {}
        if self.authority:
            of_tls = {"TRIAGE_REDIS_CA_FILE": str(self.authority.path)}
            of_tls["TRIAGE_REDIS_SENTINELS_TLS"] = str(self._sentinels_tls)
        return {
            **of_tls,
            "TRIAGE_REDIS_URL": f"{'rediss' if self._tls else 'redis'}://{NAME}/1",
            "TRIAGE_REDIS_PASSWORD_FILE": str(password),
            "TRIAGE_REDIS_SENTINELS": ",".join(f"127.0.0.1:{port}" for port in self.sentinels),
            "TRIAGE_REDIS_TIMEOUT_S": "2",
        }

    def server(self, port: int) -> Redis:
        return Redis(port=port, db=1, password=PASSWORD, socket_timeout=5.0, **self._unchecked(self._tls))

    def _sentinel(self, port: int) -> Redis:
        return Redis(port=port, socket_timeout=5.0, **self._unchecked(self._sentinels_tls))

    @staticmethod
    def _unchecked(tls: bool) -> dict[str, Any]:
        """For the test's own connections, which tell nothing of the checks of ours."""
        return {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False} if tls else {}

    def primary(self) -> int:
        """The port of the primary, by the Sentinels."""
        for port in self.sentinels:
            try:
                with self._sentinel(port) as asked:
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
        command = [
            redis_executable(),
            *self._ports(port, self._certificate, tls=self._tls),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self._folder(port)),
        ]
        command += ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--save", "", "--appendonly", "yes"]
        command += ["--maxmemory-policy", "noeviction"]
        self._start(port, [*command, "--replicaof", "127.0.0.1", str(primary)] if primary else command)
        with self.server(port) as client:
            wait_for(lambda: _answers(client), "the server")

    def _start_sentinel(self, port: int) -> None:
        configuration = self._folder(port) / "sentinel.conf"
        words = self._ports(port, self._of_sentinel, tls=self._sentinels_tls)
        ports = "\n".join(f"{name[2:]} {value}" for name, value in zip(words[::2], words[1::2], strict=True))
        configuration.write_text(
            f"{ports}\nbind 127.0.0.1\ndir {configuration.parent}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.servers[0]} 2\n"
            f'sentinel auth-pass {NAME} "{PASSWORD}"\n'
            f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 5000\n"
        )
        self._start(port, [str(SENTINEL), str(configuration)])
        with self._sentinel(port) as client:
            wait_for(lambda: _answers(client), "the Sentinel")

    def _ports(self, port: int, certificate: Certificate | None, *, tls: bool) -> list[str]:
        """The options of a server or Sentinel that say on which port it speaks, and that it speaks TLS to others."""
        if certificate is None or self.authority is None:
            return ["--port", str(port)]
        own = ["--tls-port", str(port), "--port", "0"] if tls else ["--port", str(port)]
        files = ["--tls-cert-file", str(certificate.path), "--tls-key-file", str(certificate.key)]
        asked = ["--tls-ca-cert-file", str(self.authority.path), "--tls-auth-clients", "no"]
        return [*own, *files, *asked, "--tls-replication", "yes"]

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
