"""Processes of several hosts on one store: their folders and ports are apart, this machine's clock is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from uuid import uuid4

from tests.support.ports import free_ports
from tests.support.service import Role, Roles
from tests.support.wait import wait_for
from tests.support.whole_service import fetch
from triage.spool.cluster.address import BucketAddress, ClusterAddress, DatabaseAddress
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.open_store import open_store

_HEALTH = {"web": "web_port", "listen": "listener_metrics_port", "work": "worker_metrics_port"}


@dataclass
class HostRole:
    """A process of one host, and the port of its health."""

    role: Role
    port: int
    roles: Roles
    name: str

    def restart(self, meanwhile: Callable[[], object]) -> int:
        """Stop it by SIGTERM, and start it again with the same settings; the status with which it ended.

        ``meanwhile`` is called after the signal.
        """
        self.role.process.terminate()
        meanwhile()
        status = self.role.wait()
        self.role = self.roles.start(self.name)
        return status

    def ready(self) -> tuple[int, str]:
        """The status and the words of /readyz; 0 while it does not answer."""
        return fetch(self.port, "/readyz")

    def metrics(self) -> str:
        """What it exports."""
        return fetch(self.port, "/metrics")[1]

    def leads(self) -> bool:
        """Whether it says that it is ready and leads."""
        status, words = self.ready()
        return status == 200 and "leads among all hosts" in words

    def stands_by(self) -> bool:
        """Whether it says that it is ready and stands by."""
        status, words = self.ready()
        return status == 200 and words.startswith("standing by")


@dataclass
class Hosts:
    """Starts processes, each as on a host of its own. ``lease_s`` may be changed: a busy machine stands still for
    seconds."""

    folder: Path
    database: DatabaseAddress
    bucket: BucketAddress
    redis_url: str
    lease_s: float = 8.0
    tenant: str = field(default_factory=lambda: f"tenant-{uuid4().hex[:12]}")
    _started: list[Roles] = field(default_factory=list)
    _closing: ExitStack = field(default_factory=ExitStack)

    def start(self, name: str, **settings: str | float) -> HostRole:
        """Start one process of a new host."""
        port = free_ports(1)
        health = _HEALTH.get(name, f"{name}_metrics_port")
        roles = self._host({health: port, **settings})
        return HostRole(roles.start(name), port, roles, name)

    def command(self, *words: str) -> Role:
        """Start a command on a new host."""
        return self._host({}).start(*words)

    def _host(self, settings: dict[str, str | float]) -> Roles:
        folder = self.folder / f"host-{len(self._started)}"
        folder.mkdir()
        values = {**self.settings(folder), **settings}
        texts = {f"TRIAGE_{key.upper()}": str(value) for key, value in values.items()}
        roles = Roles(folder, self.redis_url, folder / "models", texts)
        self._started.append(roles)
        return roles

    def settings(self, folder: Path) -> dict[str, str | float]:
        """The settings of a host."""
        return {
            "store_kind": "postgres+s3",
            "store_tenant": self.tenant,
            "store_lease_s": self.lease_s,
            "store_scratch": str(folder / "scratch"),
            "postgres_host": self.database.host,
            "postgres_port": self.database.port,
            "postgres_database": self.database.database,
            "postgres_user": self.database.user,
            "postgres_tls": "false",
            "s3_endpoint": self.bucket.endpoint,
            "s3_bucket": self.bucket.bucket,
            "s3_access_key": self.bucket.access_key,
            "s3_secret_key": self.bucket.secret_key,
            "deliver_interval_s": 0.1,
        }

    def store(self) -> ClusterStore:
        """The store, for the test."""
        store = cast(ClusterStore, open_store(self.address(self.folder)))
        self._closing.callback(store.close)
        return store

    def address(self, folder: Path) -> ClusterAddress:
        """The address of the store for a host with this folder."""
        return ClusterAddress(self.database, self.bucket, folder / "scratch", self.tenant, lease_s=self.lease_s)

    def logs(self) -> str:
        """The ends of all logs."""
        files = [role.log for roles in self._started for role in roles.started]
        return "\n".join(f"{file}: {file.read_text()[-3000:]}" for file in files)

    def close(self) -> None:
        """End every process."""
        for roles in self._started:
            roles.end()
        self._closing.close()


def one_leads(*processes: HostRole) -> HostRole:
    """Wait until one of the processes leads and all others stand by; the leader."""

    def settled() -> list[HostRole]:
        leading = [each for each in processes if each.leads()]
        return (
            leading if len(leading) == 1 and sum(each.stands_by() for each in processes) == len(processes) - 1 else []
        )

    return wait_for(settled, "one process to lead, and the others to stand by", 90.0)[0]
