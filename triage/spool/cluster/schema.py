"""The schema of the database: brought to this program's version by migrations, one process at a time."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path
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
_VERSION = f"SELECT version_num FROM {VERSION_TABLE}"


def upgrade(address: DatabaseAddress) -> None:
    """Apply the migrations that the database lacks, all or none, under a lock.

    Raises SpoolError for a schema of a later release, OSError for a database that cannot be used.
    """
    try:
        with session_arguments(address) as arguments:
            # A database that does not answer is given up; one that is asked to change a large table takes its time.
            arguments["sock"].settimeout(address.statement_timeout_s + _ANSWER_S)
            _in_session(arguments, min(_WAIT_S, address.statement_timeout_s))
    except (SQLAlchemyError, *DRIVER_ERRORS) as error:
        raise _failed(error, address.name) from error


def _in_session(arguments: dict[str, Any], wait_s: float) -> None:
    """Upgrade by one session, whose socket waits for as long as it takes once there is something to do."""
    engine = sqlalchemy.create_engine(
        "postgresql+pg8000://", creator=lambda: dbapi.connect(**arguments), poolclass=NullPool
    )
    with engine.begin() as connection:
        _upgrade(connection, wait_s, lambda: arguments["sock"].settimeout(None))


def _failed(error: Exception, name: str) -> OSError:
    """Return the error for people: of the server, the driver, or SQLAlchemy around either."""
    found = getattr(error, "orig", None) or error
    if isinstance(found, DatabaseError) and sql_state(found) == LOCK_NOT_AVAILABLE:
        return OSError(errno.EAGAIN, _IN_USE, name)
    return as_os_error(found, name)


def _upgrade(connection: sqlalchemy.Connection, wait_s: float, be_patient: Callable[[], None]) -> None:
    scripts, newest = _scripts()
    before = _version(connection)
    if before == newest:  # a role that may not change tables can use them
        return
    be_patient()
    _locked(connection, wait_s)
    before = _version(connection)
    known = {script.revision for script in scripts.walk_revisions()}
    if before and before not in known:
        raise SpoolError(
            f"the database has schema {before} of a later release, this one has {newest}: "
            "run the release that made it, or a newer one"
        )
    if before != newest:
        _apply(connection, scripts)
        logger.info("the schema of the database was %s and is %s now", before or "empty", newest)


def _locked(connection: sqlalchemy.Connection, wait_s: float) -> None:
    """Be the only one who changes the schema, until the transaction ends; and wait for no one else's table for long."""
    # Another process may be at it, and an index of a large table takes its time.
    connection.execute(sqlalchemy.text("SET LOCAL statement_timeout TO 0"))
    if not connection.execute(sqlalchemy.text(f"SELECT pg_try_advisory_xact_lock({_LOCK})")).scalar():
        logger.info("another process brings the tables of the database to its release: waiting for its end")
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    connection.execute(sqlalchemy.text(f"SET LOCAL lock_timeout TO {max(int(wait_s * 1000), 1)}"))


def _apply(connection: sqlalchemy.Connection, scripts: ScriptDirectory) -> None:
    context = EnvironmentContext(Config(), scripts, fn=lambda now, _: scripts._upgrade_revs("head", now))
    with context:
        context.configure(connection=connection, version_table=VERSION_TABLE)
        context.run_migrations()


def _scripts() -> tuple[ScriptDirectory, str]:
    scripts = ScriptDirectory(str(_MIGRATIONS))
    newest = scripts.get_current_head()
    assert newest is not None
    return scripts, newest


def _version(connection: sqlalchemy.Connection) -> str:
    """Return the version of the schema; empty for a database without one."""
    there = connection.execute(sqlalchemy.text(f"SELECT to_regclass('{VERSION_TABLE}')")).scalar()
    found = connection.execute(sqlalchemy.text(_VERSION)).scalar() if there else None
    return str(found or "")
