"""A real PostgreSQL of the test's own, on a free port of 127.0.0.1, ended by process ID."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

from tests.support.wait import wait_for
from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.connection import Connection
from triage.spool.tables import Row, Value

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
USER = "triage"


class PostgresServer:
    """One cluster of Debian's PostgreSQL, run by the user postgres: it refuses to be root's.

    ``where`` are the words before each of its commands, for one that runs at ``host`` of another network; ``clock``
    are those of another clock, which is the user's that runs it.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        where: Sequence[str] = (),
        clock: Sequence[str] = (),
    ) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="cxr-postgres-"))
        self.host, self.port = host, port or _free_port()
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        self._as_user = [*where, *as_user, *clock]
        self.settings: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.own_folder()
        self.program(
            "initdb", "--username", USER, "--auth", "trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"
        )
        # Tests stop processes, and cut no power.
        self.settings = {"fsync": "off", "max_connections": "60", "wal_level": "replica"}
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        wait_for(self._answers, "PostgreSQL to answer")

    def launch(self) -> None:
        """Start it."""
        settings = {"listen_addresses": self.host, "port": str(self.port), "unix_socket_directories": ""}
        options = [f"--{name}={value}" for name, value in {**settings, **self.settings}.items()]
        command = [*self._as_user, str(_PROGRAMS[-1] / "postgres"), "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self._process is not None
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends its sessions, SIGQUIT leaves all as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def run(self, sql: str, database: str = "postgres", **values: Value) -> list[Row]:
        """Run one statement as the superuser."""
        connection = Connection(self.address(database))
        try:
            return connection.run(sql, **values)
        finally:
            connection.close()

    def new_database(self) -> str:
        """Make an empty database, and return its name."""
        name = f"test_{uuid4().hex[:12]}"
        self.command(f"CREATE DATABASE {name}")
        return name

    def set(self, name: str, value: str) -> None:
        """Change a setting that needs no restart, for all sessions."""
        self.command(f"ALTER SYSTEM SET {name} TO {value}")
        self.command("SELECT pg_reload_conf()")

    def command(self, sql: str, database: str = "postgres") -> None:
        """Run one statement that may stand in no transaction."""
        connection = Connection(self.address(database))
        try:
            connection.command(sql)
        finally:
            connection.close()

    @contextmanager
    def standby(self) -> Iterator[PostgresServer]:
        """A second server that follows this one, and that its commits wait for."""
        other = PostgresServer()
        try:
            other.follow(self)
            yield other
        finally:
            other.stop(signal.SIGQUIT)
            shutil.rmtree(other.folder, ignore_errors=True)

    def follow(self, primary: PostgresServer) -> None:
        """Become its standby: a copy of it that streams, and that its commits wait for from now on."""
        self.own_folder()
        source = f"host={primary.host} port={primary.port} user={USER} application_name=standby"
        self.program("pg_basebackup", "--dbname", source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
        self.settings = primary.settings
        self.start()
        primary.set("synchronous_standby_names", "'standby'")
        wait_for(primary.has_standby, "the standby to be in step")

    def has_standby(self) -> bool:
        """Whether its commits wait for a standby that is in step."""
        in_step = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"
        return bool(self.run(in_step))

    def promote(self) -> None:
        """Make a standby a primary, which waits for no other."""
        self.run("SELECT pg_promote()")
        self.set("synchronous_standby_names", "''")
        wait_for(lambda: self.run("SELECT NOT pg_is_in_recovery()") == [[True]], "the standby to be the primary")

    def own_file(self, name: str, content: bytes) -> None:
        """Write a file of its folder that it alone can read."""
        path = self.folder / "data" / name
        path.write_bytes(content)
        path.chmod(0o600)
        if os.getuid() == 0:
            shutil.chown(path, "postgres", "postgres")

    @contextmanager
    def requiring_password(self, user: str) -> Iterator[None]:
        """Ask this user for a password."""
        known = (self.folder / "data" / "pg_hba.conf").read_bytes()
        self.own_file("pg_hba.conf", f"host all {user} 127.0.0.1/32 scram-sha-256\n".encode() + known)
        self.run("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            self.own_file("pg_hba.conf", known)
            self.run("SELECT pg_reload_conf()")

    def address(self, database: str, **others: float) -> DatabaseAddress:
        """The address of a database."""
        return DatabaseAddress(self.host, database, USER, self.port, tls=False, **others)  # type: ignore[arg-type]

    def own_folder(self) -> None:
        """Give the folder to the user that runs the server."""
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")

    def program(self, name: str, *arguments: str) -> None:
        """Run a program of PostgreSQL's on the data of this server."""
        command = [*self._as_user, str(_PROGRAMS[-1] / name), "--pgdata", str(self.folder / "data"), *arguments]
        ran = subprocess.run(command, capture_output=True, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def _answers(self) -> bool:
        assert self.runs, (self.folder / "log").read_text()
        try:
            return self.run("SELECT 1") == [[1]]
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
