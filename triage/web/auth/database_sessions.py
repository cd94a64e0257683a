"""Sessions in the database that several hosts share: every time is the database's, whatever a host's clock says."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from triage.spool.shared_database import Row, SharedDatabase
from triage.web.auth.away import answering
from triage.web.auth.sessions import (
    CLOCK_TOLERANCE_S,
    ProviderSession,
    SessionTimes,
    SignedInSession,
    digest_of,
    is_token,
    new_token,
)

_HERE = "tenant = :tenant AND digest = :digest"
_SECONDS = "make_interval(secs => CAST({} AS float8))"
_LONGEST, _IDLE, _LOCK, _STEP = (_SECONDS.format(f":{name}_s") for name in ("longest", "idle", "lock", "step"))
# A failover may lead to a server whose clock is behind.
_SOON = f"clock_timestamp() + make_interval(secs => {CLOCK_TOLERANCE_S})"
_LASTS = f"""(began <= {_SOON} AND clock_timestamp() < began + {_LONGEST}
  AND seen <= {_SOON} AND clock_timestamp() < seen + {_IDLE})"""
_IS_LOCKED = f"(CAST(:lock_s AS float8) > 0 AND seen + {_LOCK} <= clock_timestamp())"

_BEGIN = """
INSERT INTO session (tenant, digest, user_name, stamp, provided_role, id_token)
VALUES (:tenant, :digest, :user, :stamp, :role, :id_token)
"""
_FIND = f"""
SELECT user_name, stamp, CAST(extract(epoch FROM began) AS float8), provided_role, id_token,
  {_IS_LOCKED}, seen + {_STEP} < clock_timestamp()
FROM session WHERE {_HERE} AND {_LASTS}
"""
_REMOVE_ENDED = f"""
DELETE FROM session WHERE tenant = :tenant AND digest IN
  (SELECT digest FROM session WHERE tenant = :tenant AND NOT {_LASTS} FOR UPDATE SKIP LOCKED)
"""
# Not in a session that was locked a moment ago, by a request to another host.
_EXTEND = f"UPDATE session SET seen = clock_timestamp() WHERE {_HERE} AND {_LASTS} AND NOT {_IS_LOCKED}"
_LOCAL = "SELECT set_config('synchronous_commit', 'local', true)"
_LOCK_NOW = f"""
UPDATE session SET seen = clock_timestamp() - {_LOCK} WHERE {_HERE} AND {_LASTS} AND NOT {_IS_LOCKED}
"""
_END = f"DELETE FROM session WHERE {_HERE}"
_END_ALL = """
DELETE FROM session WHERE tenant = :tenant AND (CAST(:user AS text) IS NULL OR user_name = CAST(:user AS text))
RETURNING digest
"""


@dataclass(frozen=True)
class DatabaseSessions:
    """The sessions of a tenant; see ``Sessions``."""

    database: SharedDatabase
    times: SessionTimes

    @property
    def lock_s(self) -> float:
        """Seconds without activity that lock a session, 0 for never."""
        return self.times.lock_s

    def begin(self, user: str, stamp: str, provided: ProviderSession | None = None) -> str:
        """Begin a session and return its token, which only the browser may hold. Raises OSError."""
        token = new_token()
        role, id_token = (None, None) if provided is None else (provided.role, provided.id_token)
        with self.database.transaction() as transaction:
            transaction.run(_REMOVE_ENDED, longest_s=self.times.longest_s, idle_s=self.times.idle_s)
            given = {"user": user, "stamp": stamp, "role": role, "id_token": id_token}
            transaction.run(_BEGIN, digest=digest_of(token), **given)
        return token

    def find(self, token: str, *, active: bool) -> SignedInSession | None:
        """Return the session of a token, or None if it has ended or is locked; ``active`` extends it."""
        row = self._row(token)
        if row is None or row[5]:
            return None
        if active and row[6]:
            with suppress(OSError):  # a database that takes no changes must not sign people out
                self._extend(token)
        return _session(row)

    def is_locked(self, token: str) -> bool:
        """Return True if the session of a token lasts and is locked."""
        row = self._row(token) if self.lock_s else None
        return row is not None and bool(row[5])

    def lock(self, token: str) -> None:
        """Lock a session now, as if nothing had been done since ``lock_s``."""
        if self.lock_s and is_token(token):
            with answering():
                self.database.write(_LOCK_NOW, digest=digest_of(token), **self._limits)

    def end(self, token: str) -> None:
        """End a session."""
        if is_token(token):
            with answering():
                self.database.write(_END, digest=digest_of(token))

    def end_all(self, user: str | None = None) -> int:
        """End every session, or those of a user, and return how many there were. Raises OSError."""
        return len(self.database.write(_END_ALL, user=user))

    @property
    def _limits(self) -> dict[str, float]:
        return {"longest_s": self.times.longest_s, "idle_s": self.times.idle_s, "lock_s": self.times.lock_s}

    def _row(self, token: str) -> Row | None:
        if not is_token(token):
            return None
        with answering():
            found = self.database.read(_FIND, digest=digest_of(token), step_s=self.times.step_s, **self._limits)
        return found[0] if found else None

    def _extend(self, token: str) -> None:
        # It waits for no standby: after a failover a session has been idle for some seconds more.
        with self.database.transaction() as transaction:
            transaction.run(_LOCAL)
            transaction.run(_EXTEND, digest=digest_of(token), **self._limits)


def _session(row: Row) -> SignedInSession:
    user, stamp, began, role, id_token, *_ = row
    assert isinstance(began, float)
    provided = None if role is None else ProviderSession(str(role), str(id_token))
    return SignedInSession(str(user), str(stamp), began, provided)
