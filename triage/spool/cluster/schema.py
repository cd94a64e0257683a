"""The schema of the database: brought to this program's version by migrations, one process at a time."""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from pg8000 import dbapi
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.connection import session_arguments
from triage.spool.cluster.sql_errors import DRIVER_ERRORS, as_os_error
from triage.spool.errors import SpoolError

logger = logging.getLogger(__name__)

VERSION_TABLE = "triage_schema"
_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x6378722D747269  # any number of ours: "cxr-tri"
_VERSION = f"SELECT version_num FROM {VERSION_TABLE}"


def upgrade(address: DatabaseAddress) -> None:
    """Apply the migrations that the database lacks, all or none, under a lock.

    Raises SpoolError for a schema of a later release, OSError for a database that cannot be used.
    """
    engine = sqlalchemy.create_engine("postgresql+pg8000://", creator=lambda: _session(address), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            _upgrade(connection)
    except SQLAlchemyError as error:
        raise as_os_error(getattr(error, "orig", None) or error, address.name) from error
    except DRIVER_ERRORS as error:
        raise as_os_error(error, address.name) from error


def _session(address: DatabaseAddress) -> dbapi.Connection:
    with session_arguments(address) as arguments:
        return dbapi.connect(**arguments)


def _upgrade(connection: sqlalchemy.Connection) -> None:
    scripts, newest = _scripts()
    before = _version(connection)
    if before == newest:  # a role that may not change tables can use them
        return
    # Another process may be at it, and an index of a large table takes its time.
    connection.execute(sqlalchemy.text("SET LOCAL statement_timeout TO 0"))
    connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
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
