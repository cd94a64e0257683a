"""Errors of the spool, and those OSErrors that say that an engine of a shared store is away."""

from __future__ import annotations

import errno
from typing import TypeGuard

from triage.errors import TriageError, cause

DATABASE_SCHEME, BUCKET_SCHEME = "postgresql://", "s3://"
"""Beginnings of the name that an OSError of an engine has where that of a file has its path."""

_AWAY = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.ETIMEDOUT,
    errno.EAGAIN,  # it starts, recovers, or has no session left
}
_SETTINGS = {DATABASE_SCHEME: "postgres.host and postgres.port", BUCKET_SCHEME: "s3.endpoint"}


class SpoolError(TriageError):
    """The spool cannot be used as it is; the message says what to do."""


class LayoutError(SpoolError):
    """The layout of a spool cannot be read, or this program must not use it."""


class LockedError(OSError):
    """A lock was not had in the time allowed to it, as another process holds it. The same call may succeed later.

    It says nothing of what the lock is of: no study and no object has failed.
    """


def is_of_engine(error: BaseException) -> TypeGuard[OSError]:
    """Return whether an error is one of PostgreSQL or of the bucket, and no other of the system."""
    return isinstance(error, OSError) and str(error.filename or "").startswith(tuple(_SETTINGS))


def engine_away(error: BaseException | None) -> OSError | None:
    """Return the OSError of an engine that does not answer, if that is the cause of ``error``; else None.

    One that answers and refuses is not away: a password, a name or a right that is wrong is for a person to correct.
    """
    while error is not None:
        if is_of_engine(error) and error.errno in _AWAY:
            return error
        error = error.__cause__
    return None


def engine_words(error: OSError) -> str:
    """Return which engine fails, why, and, if it is away, what to do about it."""
    name = str(error.filename)
    words = f"{name}: {cause(error)}"
    if engine_away(error) is None:
        return words
    setting = next(setting for scheme, setting in _SETTINGS.items() if name.startswith(scheme))
    return f"{words}. See that it runs and that this host reaches it, or correct {setting}"
