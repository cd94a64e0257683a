"""The schema of the database: brought to this program's version by migrations, one process at a time.

A database of a later release is used as it is, as far back as its last migration says (docs/adr/0092).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from pg8000 import dbapi
from pg8000.exceptions import DatabaseError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.connection import session_arguments
from triage.spool.cluster.sql_errors import DRIVER_ERRORS, LOCK_NOT_AVAILABLE, as_os_error, sql_state
from triage.spool.errors import SpoolError

logger = logging.getLogger(__name__)

VERSION_TABLE = "triage_schema"
_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x6378722D747269  # any number of ours: "cxr-tri"
_ANSWER_S = 5.0
_WAIT_S = 5.0
"""Seconds that a table may be waited for: behind us, everyone else waits for it too."""
_IN_USE = (
    "the tables cannot be brought to this release, as another session has held one of them for too long: a backup "
    "(pg_dump), a long query, a person's open transaction. Nothing was changed. End that (pg_stat_activity names it), "
    "or wait for its end, and start this again"
)
# A schema before 0009 has no column "oldest".
_VERSION = f"SELECT version_num, to_jsonb({VERSION_TABLE}) ->> 'oldest' FROM {VERSION_TABLE}"
_SET_OLDEST = f"UPDATE {VERSION_TABLE} SET oldest = :oldest"


@dataclass(frozen=True)
class SchemaState:
    """Schema of a database, and what this release would do to it.

    ``revision`` is empty without tables of ours. ``oldest``: the earliest schema whose programs may use it; empty if it
    does not say. ``newest``: of this release. ``steps``: what is to be applied, in order, in words.
    """

    revision: str
    oldest: str
    newest: str
    steps: tuple[str, ...] = ()

    @property
    def is_later(self) -> bool:
        """True if it is of a later release."""
        return not self.steps and self.revision != self.newest

    def __str__(self) -> str:
        """Return it in words."""
        if self.is_later:
            return (
                f"schema {self.revision} of a later release, which this one (schema {self.newest}) may use: "
                "upgrade this host, too"
            )
        return f"schema {self.revision or 'none'}, this release has {self.newest}"


class Steps:
    """The migrations that this release knows. ``folder``: of the folder ``versions`` that they are in."""

    def __init__(self, folder: Path = _MIGRATIONS) -> None:
        self.scripts = ScriptDirectory(str(folder))
        self._known = {each.revision: each for each in self.scripts.walk_revisions()}
        newest = self.scripts.get_current_head()
        assert newest is not None
        self.newest = newest

    @property
    def oldest(self) -> str:
        """The earliest schema whose programs may use the tables of the newest one."""
        return str(self._known[self.newest].module.oldest)

    def state(self, found: tuple[str, str]) -> SchemaState:
        """Return what is to be done with a schema, by its revision and the oldest that may use it.

        Raises SpoolError for one of a later release that this one may not use.
        """
        revision, oldest = found
        if revision and revision not in self._known:
            if oldest not in self._known:
                raise SpoolError(_too_new(revision, oldest, self.newest))
            return SchemaState(revision, oldest, self.newest)
        return SchemaState(revision, oldest, self.newest, self._missing(revision))

    def _missing(self, revision: str) -> tuple[str, ...]:
        """Return the steps from ``revision`` on."""
        lacking = list(self.scripts.iterate_revisions(self.newest, revision or "base"))
        return tuple(f"{each.revision}: {each.doc}" for each in reversed(lacking))


def _too_new(revision: str, oldest: str, newest: str) -> str:
    bound = f", for programs that know schema {oldest}" if oldest else ""
    return (
        f"the database has schema {revision} of a later release{bound}; this one has {newest}: "
        "run the release that made it, or a newer one"
    )


def upgrade(address: DatabaseAddress, steps: Steps | None = None) -> None:
    """Apply the migrations that the database lacks, all or none, under a lock. ``steps``: of this release by default.

    Raises SpoolError for a schema of a later release that this one may not use, OSError for a database that cannot be
    used.
    """
    with _session(address) as (engine, sock), engine.connect() as connection:
        wait_s = min(_WAIT_S, address.statement_timeout_s)
        _upgrade(connection, steps or Steps(), wait_s, lambda: sock.settimeout(None))


def schema_state(address: DatabaseAddress) -> SchemaState:
    """Return the schema that the database has, and change nothing.

    Raises SpoolError for a schema of a later release that this one may not use, OSError for a database that cannot be
    used.
    """
    with _session(address) as (engine, _), engine.begin() as connection:
        return Steps().state(_version(connection))


@contextmanager
def _session(address: DatabaseAddress) -> Iterator[tuple[sqlalchemy.Engine, socket]]:
    """Yield an engine of one session, and its socket, which waits as long as any statement may. Raises OSError.

    A database that does not answer is given up; one that is asked to change a large table takes its time.
    """
    try:
        with session_arguments(address) as arguments:
            arguments["sock"].settimeout(address.statement_timeout_s + _ANSWER_S)
            yield _engine(arguments), arguments["sock"]
    except (SQLAlchemyError, *DRIVER_ERRORS) as error:
        raise _failed(error, address.name) from error


def _engine(arguments: dict[str, Any]) -> sqlalchemy.Engine:
    """Return an engine of one session."""
    return sqlalchemy.create_engine(
        "postgresql+pg8000://", creator=lambda: dbapi.connect(**arguments), poolclass=NullPool
    )


def _failed(error: Exception, name: str) -> OSError:
    """Return the error for people: of the server, the driver, or SQLAlchemy around either."""
    found = getattr(error, "orig", None) or error
    if isinstance(found, DatabaseError) and sql_state(found) == LOCK_NOT_AVAILABLE:
        return OSError(errno.EAGAIN, _IN_USE, name)
    return as_os_error(found, name)


def _upgrade(connection: sqlalchemy.Connection, steps: Steps, wait_s: float, be_patient: Callable[[], None]) -> None:
    # A look of its own: while we wait for another process's steps, nothing of ours is in their way.
    with connection.begin():
        before = steps.state(_version(connection))
    if before.steps:  # else a role that may not change tables can use them
        be_patient()
        with connection.begin():
            _locked(connection, wait_s)
            before = steps.state(_version(connection))
            if before.steps:
                _apply(connection, steps)
    if before.steps:
        logger.info("the schema of the database was %s and is %s now", before.revision or "empty", steps.newest)
    if before.is_later:
        logger.warning("the database has %s", before)


def _locked(connection: sqlalchemy.Connection, wait_s: float) -> None:
    """Be the only one who changes the schema, until the transaction ends; and wait for no one else's table for long."""
    # Another process may be at it, and an index of a large table takes its time.
    connection.execute(sqlalchemy.text("SET LOCAL statement_timeout TO 0"))
    if not connection.execute(sqlalchemy.text(f"SELECT pg_try_advisory_xact_lock({_LOCK})")).scalar():
        logger.info("another process brings the tables of the database to its release: waiting for its end")
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    connection.execute(sqlalchemy.text(f"SET LOCAL lock_timeout TO {max(int(wait_s * 1000), 1)}"))


def _apply(connection: sqlalchemy.Connection, steps: Steps) -> None:
    context = EnvironmentContext(Config(), steps.scripts, fn=lambda now, _: steps.scripts._upgrade_revs("head", now))
    with context:
        context.configure(connection=connection, version_table=VERSION_TABLE)
        context.run_migrations()
    connection.execute(sqlalchemy.text(_SET_OLDEST), {"oldest": steps.oldest})


def _version(connection: sqlalchemy.Connection) -> tuple[str, str]:
    """Return the version of the schema and the oldest that may use it; empty for a database that does not say."""
    if connection.execute(sqlalchemy.text(f"SELECT to_regclass('{VERSION_TABLE}')")).scalar() is None:
        return "", ""
    found = connection.execute(sqlalchemy.text(_VERSION)).one_or_none()
    return ("", "") if found is None else (str(found[0]), str(found[1] or ""))
