"""A PostgreSQL whose WAL is archived, and its restore to a point in time: as an administrator does both."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres_server import USER, PostgresServer
from tests.support.wait import wait_for


class ArchivedPostgres(PostgresServer):
    """A server that copies each finished file of its WAL into ``archive``. ``base``: the last base backup."""

    def __enter__(self) -> ArchivedPostgres:
        super().__enter__()
        self.archive = Path(tempfile.mkdtemp(prefix="cxr-archive-"))
        self.base: Path | None = None
        self.give(self.archive)
        self.stop()
        self.settings |= {
            "archive_mode": "on",
            "archive_command": f"cp %p {self.archive}/.%f && mv {self.archive}/.%f {self.archive}/%f",
        }
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for folder in (self.archive, *([self.base] if self.base else [])):
            shutil.rmtree(folder, ignore_errors=True)

    def take_base_backup(self) -> None:
        """Copy the whole server while it works."""
        self.base = Path(tempfile.mkdtemp(prefix="cxr-base-"))
        self.give(self.base)
        other = PostgresServer()
        other.folder = self.base
        source = f"host=127.0.0.1 port={self.port} user={USER}"
        other.program("pg_basebackup", "--dbname", source, "--checkpoint=fast", "--no-sync")

    def now(self) -> str:
        """The time of the server, to which it can be restored."""
        return str(self.run("SELECT CAST(clock_timestamp() AS text)")[0][0])

    def archive_all(self) -> None:
        """Have the archive get all that was committed until now."""
        ((name,),) = self.run("SELECT pg_walfile_name(pg_switch_wal())")
        wait_for(lambda: (self.archive / str(name)).exists(), "the WAL to be archived")

    def lose(self) -> None:
        """End it as a crash does, and lose its disk; the archive and the base backup are elsewhere."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder / "data")

    def restore(self, at: str) -> None:
        """Put the base backup in its place, replay the archive until ``at``, and serve."""
        assert self.base is not None
        shutil.copytree(self.base / "data", self.folder / "data", copy_function=shutil.copy2)
        for path in (self.folder / "data", *(self.folder / "data").rglob("*")):
            self.give(path)
        self.own_file("recovery.signal", b"")
        targets = {"recovery_target_time": at, "recovery_target_action": "promote"}
        self.settings |= {"restore_command": f"cp {self.archive}/%f %p", **targets}
        self.start()
        wait_for(lambda: self.run("SELECT NOT pg_is_in_recovery()") == [[True]], "the server to have the state", 120.0)

    def give(self, path: Path) -> None:
        """Give a file or folder to the user that runs the server."""
        if self._as_user:
            shutil.chown(path, "postgres", "postgres")


@contextmanager
def archived_postgres() -> Iterator[ArchivedPostgres]:
    """Run one for a test."""
    with ArchivedPostgres() as server:
        yield server
