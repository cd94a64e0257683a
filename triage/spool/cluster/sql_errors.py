"""Errors of PostgreSQL and of the way to it, as OSErrors with the system's numbers (docs/adr/0072)."""

from __future__ import annotations

import errno
import socket
import ssl

from pg8000.exceptions import DatabaseError, InterfaceError

from triage.errors import cause
from triage.spool.errors import LockedError

DRIVER_ERRORS = (DatabaseError, InterfaceError, OSError)
"""Everything that the driver raises for a server that refuses, fails or is gone."""

UNIQUE_VIOLATION = "23505"
LOCK_NOT_AVAILABLE = "55P03"
_DEADLOCK = "40P01"
_GIVEN_UP = "57014"
_LOCKED = frozenset({LOCK_NOT_AVAILABLE, _DEADLOCK})

_STATES = {
    "25006": (errno.EROFS, "the database takes no changes (it is read-only: a standby, or set so)"),
    "53100": (errno.ENOSPC, "the database's disk is full"),
    "53200": (errno.ENOMEM, "the database is out of memory"),
    "53300": (errno.EAGAIN, "the database has no connection left for this process (max_connections)"),
    "53400": (errno.EDQUOT, "the database has met a limit of its configuration"),
    "57P01": (errno.ECONNRESET, "the database was stopped, or ended this connection"),
    "57P02": (errno.ECONNRESET, "the database has crashed, and recovers"),
    "57P03": (errno.EAGAIN, "the database is starting, stopping or recovering"),
    "57P05": (errno.ECONNRESET, "the database ended an idle connection"),
    "25P03": (errno.ECONNRESET, "the database ended a transaction that was idle for too long"),
    _GIVEN_UP: (errno.ETIMEDOUT, "the database gave a statement up after the time allowed to it"),
    LOCK_NOT_AVAILABLE: (errno.EAGAIN, "a row of the database is locked"),
    _DEADLOCK: (errno.EDEADLK, "two transactions of the database waited for each other, and this one was ended"),
    "40001": (errno.EAGAIN, "a transaction of the database met another one, and has to be repeated"),
    "23503": (errno.ENOENT, "the study that this is of is not in the store"),
    "42501": (errno.EACCES, "the database's user has no right to do this"),
    "3D000": (errno.ENODEV, "the server has no database of this name"),
    "42P01": (errno.ENODEV, "the database has no tables of ours"),
    "25P02": (errno.EIO, "an earlier statement of this transaction failed: nothing of it is written"),
}
_CLASSES = {
    "08": (errno.ECONNRESET, "the connection to the database is broken"),
    "28": (errno.EACCES, "the database refuses this user, its password or its address"),
    "53": (errno.EAGAIN, "the database is short of something"),
    "57": (errno.ECONNRESET, "the database was interrupted"),
}
_CERTIFICATE = "check it, postgres.ca_file, and the clock of this host"
_OTHER = (errno.EIO, "the database failed")
_HELD = f"another process holds it for longer than a statement may wait (SQLSTATE {_GIVEN_UP})"


def as_os_error(error: BaseException, database: str = "") -> OSError:
    """Return the OSError for an error of the driver. Its text is ours: it holds nothing of the server's, or of a row.

    ``database``: its name (``DatabaseAddress.name``), which the error has where that of a file has its path.
    What says that the server could not be reached or has gone is ECONNREFUSED, ECONNRESET, EHOSTUNREACH or ETIMEDOUT;
    a lock that another transaction holds is a ``LockedError``.
    """
    found = _of_state(sql_state(error)) if isinstance(error, DatabaseError) else _of_network(error)
    if isinstance(error.__context__, DatabaseError):  # it refused us, and was gone before we could say goodbye
        found = _of_state(sql_state(error.__context__))
    found.filename = database or None
    return found


def as_locked(error: OSError) -> LockedError | None:
    """Return the error of a statement that only locks, if the server gave it up: another transaction has the lock."""
    if isinstance(error.__cause__, DatabaseError) and sql_state(error.__cause__) == _GIVEN_UP:
        return LockedError(error.errno, _HELD, error.filename)
    return None


def sql_state(error: DatabaseError) -> str:
    """Return the SQLSTATE of an error, five characters; empty if the server gave none."""
    fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(fields.get("C", ""))


def _of_state(state: str) -> OSError:
    number, text = _STATES.get(state) or _CLASSES.get(state[:2]) or _OTHER
    kind = LockedError if state in _LOCKED else OSError
    return kind(number, f"{text} (SQLSTATE {state or 'unknown'})")


def _of_network(error: BaseException) -> OSError:
    reason = error.__cause__ if isinstance(error, InterfaceError) and error.__cause__ else error
    if isinstance(reason, TimeoutError):
        return OSError(errno.ETIMEDOUT, "the database does not answer within the time allowed to it")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return OSError(errno.EPROTO, f"the database's certificate is refused ({reason.verify_message}): {_CERTIFICATE}")
    if isinstance(reason, ssl.SSLError):
        return OSError(errno.EPROTO, f"TLS with the database fails: {type(reason).__name__}, check its ca_file")
    if isinstance(reason, socket.gaierror):
        if reason.errno == socket.EAI_AGAIN:
            return OSError(errno.EHOSTUNREACH, "the name of the database's host cannot be looked up now")
        return OSError(errno.ENXIO, "the name of the database's host is not known: correct postgres.host")
    if isinstance(reason, OSError) and reason.errno == errno.EPIPE:  # which ends a command as if its reader had gone
        return OSError(errno.ECONNRESET, "the connection to the database is broken")
    if isinstance(reason, OSError) and reason.errno:
        return OSError(reason.errno, f"the database cannot be reached: {cause(reason)}")
    return OSError(errno.ECONNRESET, "the connection to the database is broken")
