"""What the service needs on the three hosts: PostgreSQL with a standby, Redis with Sentinels, SeaweedFS, HAProxy."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.acceptance.hosts.network import Host
from tests.acceptance.hosts.units import Unit, Units
from tests.support.certificates import Authority, authority
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import redis_executable
from tests.support.seaweed import SeaweedServer
from tests.support.sentinels import NAME, PASSWORD, SENTINEL
from tests.support.tcp_proxy import HAPROXY, ask
from tests.support.wait import wait_for

POSTGRES, REDIS, SENTINELS, BUCKET, FAULTY = 5432, 6379, 26379, 8443, 8334
TO_POSTGRES = 5433
"""The port of each host's HAProxy on 127.0.0.1, by which the service there finds PostgreSQL: and nothing else does."""
DATABASE, ROLE, ROLE_PASSWORD = "radiology", "triage_service", "pass word of the role"
_DISK_MB = 1024
_OF_POSTGRES = {
    "fsync": "off",  # processes are killed here, and no power is cut
    "max_connections": "120",
    "wal_level": "replica",
    "ssl": "on",
    "wal_keep_size": "192MB",
    "max_wal_size": "192MB",
    "min_wal_size": "32MB",
    # A cable that is out is noticed in seconds, as a site that wants to go on would have it.
    "wal_sender_timeout": "6s",
    "wal_receiver_timeout": "6s",
    "wal_retrieve_retry_interval": "1s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


class Database:
    """A primary and its synchronous standby on two hosts, each on a disk of its own, and the act of changing them."""

    def __init__(self, hosts: Mapping[str, Host], first: str, second: str, ca: Authority) -> None:
        self.hosts, self.ca = hosts, ca
        self.servers = {name: self._server(hosts[name]) for name in (first, second)}
        self.primary, self.standby = first, second

    def _server(self, host: Host) -> PostgresServer:
        disk = host.folder / "database"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m,mode=711", "tmpfs", disk], check=True)
        return PostgresServer(disk, host=host.address, port=POSTGRES, where=host.inside(), clock=host.by_its_clock())

    def start(self) -> None:
        """Make the primary, its database and role, and the standby."""
        first = self.servers[self.primary]
        first.own_folder()
        first.program("initdb", "--username", "triage", "--auth", "trust", "--no-sync", "--encoding=UTF8")
        addresses = ",".join(f"IP:{each.address}" for each in self.hosts.values())
        made = self.ca.certificate("postgres", host=f"IP:127.0.0.1,{addresses}")
        first.own_file("server.crt", made.path.read_bytes())
        first.own_file("server.key", made.key.read_bytes())
        rules = f"hostssl {DATABASE} {ROLE} 10.0.0.0/24 scram-sha-256\nhost all triage 10.0.0.0/24 trust\n"
        first.own_file("pg_hba.conf", f"{rules}host replication triage 10.0.0.0/24 trust\n".encode())
        first.settings = _OF_POSTGRES
        first.start()
        first.command(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE_PASSWORD}'")
        first.command(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        self.servers[self.standby].follow(first)

    @property
    def server(self) -> PostgresServer:
        return self.servers[self.primary]

    def is_whole(self) -> bool:
        try:
            return self.server.runs and self.server.has_standby()
        except OSError:
            return False

    def start_again(self, name: str) -> None:
        """As its unit would. It may not come up at once where its disk is full."""
        server = self.servers[name]
        if not server.runs:
            server.stop()
            server.launch()

    def promote(self) -> None:
        """By hand, once the primary is dead for certain: promote the standby, and rebuild the other one from it."""
        self.servers[self.standby].promote()
        self.primary, self.standby = self.standby, self.primary

    def rebuild_standby(self) -> None:
        """By hand: the former primary has what nobody was told of, and is made anew from the present one."""
        old = self.servers[self.standby]
        old.stop(signal.SIGQUIT)
        shutil.rmtree(old.folder / "data")
        old.follow(self.server)

    def disk_is_full(self, full: bool) -> None:
        """Fill the primary's disk to the last byte, or free it."""
        filler = self.server.folder / "filler"
        if not full:
            return filler.unlink(missing_ok=True)
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                return None


@dataclass
class Balancer:
    """An HAProxy on a host: to the primary of PostgreSQL on 127.0.0.1, and on one host TLS before the bucket."""

    host: Host
    stats: Path
    unit: Unit

    def point_at(self, database: Database) -> None:
        """By hand: have new connections go to the primary alone, and end those to the other one."""
        for name in database.servers:
            state = "ready" if name == database.primary else "maint"
            ask(self.stats, f"set server postgres/{name} state {state}")
            if state == "maint":
                ask(self.stats, f"shutdown sessions server postgres/{name}")


def balancer(host: Host, database: Database, certificate: Path | None) -> Balancer:
    """HAProxy as its unit would have it."""
    stats, configuration = host.folder / "haproxy.sock", host.folder / "haproxy.cfg"
    servers = "".join(
        f"  server {name} {each.host}:{each.port}{'' if name == database.primary else ' disabled'}\n"
        for name, each in database.servers.items()
    )
    text = (
        f"global\n  stats socket {stats} mode 600 level admin\n"
        "defaults\n  mode tcp\n  timeout connect 3s\n  timeout client 30m\n  timeout server 30m\n"
        f"listen postgres\n  bind 127.0.0.1:{TO_POSTGRES}\n"
        f"  default-server check inter 1s fall 3 rise 1 on-marked-down shutdown-sessions\n{servers}"
    )
    if certificate is not None:
        text += f"listen bucket\n  bind {host.address}:{BUCKET} ssl crt {certificate}\n  server s 127.0.0.1:{FAULTY}\n"
    configuration.write_text(text)
    command = [*host.inside(), str(HAPROXY), "-db", "-f", str(configuration)]
    return Balancer(host, stats, Unit(f"{host.name}/haproxy", command, host.folder / "haproxy.log", _PATH))


_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass
class Lists:
    """A Redis and a Sentinel on each host; the first host's is the primary at first."""

    hosts: Mapping[str, Host]
    units: Units
    of_address: dict[str, str] = field(default_factory=dict)

    def add_units(self) -> None:
        first = next(iter(self.hosts.values()))
        for host in self.hosts.values():
            self.of_address[host.address] = host.name
            self.units.add(self._server(host, first))
            self.units.add(self._sentinel(host, first))

    def _server(self, host: Host, first: Host) -> Unit:
        folder = host.folder / "redis"
        folder.mkdir()
        words = ["--port", str(REDIS), "--bind", host.address, "--dir", str(folder), "--save", "", "--appendonly"]
        words += ["yes", "--requirepass", PASSWORD, "--masterauth", PASSWORD, "--maxmemory-policy", "noeviction"]
        # One that is cut off from its replicas takes no more writes (ADR 77).
        words += ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "5", "--repl-timeout", "10"]
        words += [] if host is first else ["--replicaof", first.address, str(REDIS)]
        command = [*host.inside(), *host.by_its_clock(), redis_executable(), *words]
        return Unit(f"{host.name}/redis", command, host.folder / "redis.log", _PATH)

    def _sentinel(self, host: Host, first: Host) -> Unit:
        folder = host.folder / "sentinel"
        folder.mkdir()
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"port {SENTINELS}\nbind {host.address}\ndir {folder}\n"
            f"sentinel monitor {NAME} {first.address} {REDIS} 2\n"
            f'sentinel auth-pass {NAME} "{PASSWORD}"\n'
            f"sentinel down-after-milliseconds {NAME} 3000\nsentinel failover-timeout {NAME} 10000\n"
        )
        command = [*host.inside(), *host.by_its_clock(), str(SENTINEL), str(configuration)]
        return Unit(f"{host.name}/sentinel", command, host.folder / "sentinel.log", _PATH)

    def primary(self) -> str:
        """The host of the primary, as the Sentinels that answer say; empty where they do not agree."""
        said = set()
        for host in self.hosts.values():
            try:
                with Redis(host.address, SENTINELS, socket_timeout=2.0, socket_connect_timeout=2.0) as asked:
                    said.add(asked.sentinel_get_master_addr_by_name(NAME)[0].decode())
            except RedisError:
                continue
        return self.of_address.get(said.pop(), "") if len(said) == 1 else ""

    def is_whole(self) -> bool:
        """Whether the primary has both others as its replicas, and each Sentinel knows the two others."""
        name = self.primary()
        try:
            for host in self.hosts.values():
                with Redis(host.address, SENTINELS, socket_timeout=2.0) as asked:
                    if asked.sentinel_master(NAME)["num-other-sentinels"] < 2:
                        return False
            host = self.hosts[name]
            with Redis(host.address, REDIS, password=PASSWORD, socket_timeout=2.0) as client:
                return bool(client.info("replication")["connected_slaves"] == 2)
        except (RedisError, KeyError):
            return False


class Bucket:
    """SeaweedFS on one host, and before it a proxy with faults."""

    def __init__(self, host: Host, weed: str) -> None:
        self.host, self.mode = host, host.folder / "faults"
        self.server = SeaweedServer(weed, host.address, host.inside(), below=host.folder)

    def unit(self, environment: Mapping[str, str]) -> Unit:
        """The proxy's."""
        here = "tests.acceptance.hosts.faulty_bucket"
        store = f"{self.host.address}:{self.server.ports['s3']}"
        words = [sys.executable, "-m", here, "127.0.0.1", str(FAULTY), store, str(self.mode)]
        command = [*self.host.inside(), *words]
        return Unit(f"{self.host.name}/faults", command, self.host.folder / "faults.log", environment)

    def set(self, mode: str) -> None:
        part = self.mode.with_suffix(".part")
        part.write_text(mode)
        part.replace(self.mode)


def new_authority(folder: Path) -> Authority:
    folder.mkdir()
    return authority(folder)


def pem_of(ca: Authority, host: Host) -> Path:
    """A certificate with its key in one file, as HAProxy takes it."""
    made = ca.certificate("bucket", host=f"IP:{host.address}")
    both = ca.folder / "bucket-both.pem"
    both.write_bytes(made.path.read_bytes() + made.key.read_bytes())
    return both


def wait_until_whole(database: Database, lists: Lists, timeout_s: float = 150.0) -> None:
    """Until the engines are as they were: one fault at a time is what the hosts promise to bear."""
    wait_for(database.is_whole, "PostgreSQL's standby to be in step", timeout_s)
    wait_for(lists.is_whole, "Redis to have its replicas", timeout_s)
