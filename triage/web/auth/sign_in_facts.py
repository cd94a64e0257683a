"""Small facts of signing in, in the database that several hosts share: wrong tries, known devices, states.

A key is a digest: what people type for a name may be their password. Each kind is bounded in number and age, so that
strangers fill nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from triage.spool.shared_database import SharedDatabase, SharedTransaction
from triage.web.auth.away import answering
from triage.web.auth.throttle import (
    FORGOTTEN_AFTER_S,
    REMEMBERED,
    Standing,
    Tries,
    address_key,
    standing_of,
    user_key,
)

_USER, _ADDRESS, _KNOWN, _STATE = "try", "try-of-address", "known", "state"
_KNOWN_FOR_S = 30 * 24 * 3600.0
_STATES = 10_000

_ROWS = """
SELECT kind, tries, CAST(extract(epoch FROM clock_timestamp() - at) AS float8) FROM sign_in_fact
WHERE tenant = :tenant AND ((kind = 'try' AND key = :user) OR (kind = 'try-of-address' AND key = :address)
  OR (kind = 'known' AND key = :user))
"""
# One attempt of an address at a time, at whichever host: what it reads is what it counts on.
_IN_TURN = "SELECT pg_advisory_xact_lock(hashtextextended(CAST(:tenant AS text) || CAST(:address AS text), 0))"
_COUNT = f"""
INSERT INTO sign_in_fact (tenant, kind, key, tries) VALUES (:tenant, :kind, :key, 1)
ON CONFLICT (tenant, kind, key) DO UPDATE SET at = clock_timestamp(), tries =
  CASE WHEN sign_in_fact.at < clock_timestamp() - make_interval(secs => {FORGOTTEN_AFTER_S}) THEN 1
  ELSE sign_in_fact.tries + 1 END
"""
_NOTE = """
INSERT INTO sign_in_fact (tenant, kind, key) VALUES (:tenant, :kind, :key)
ON CONFLICT (tenant, kind, key) DO UPDATE SET at = clock_timestamp()
"""
_NEW = """
INSERT INTO sign_in_fact (tenant, kind, key) VALUES (:tenant, :kind, :key) ON CONFLICT DO NOTHING RETURNING key
"""
_FORGET = "DELETE FROM sign_in_fact WHERE tenant = :tenant AND kind = :kind AND key = :key"
_FORGIVE = "UPDATE sign_in_fact SET tries = tries - 1 WHERE tenant = :tenant AND kind = :kind AND key = :key"
_NOT_ONE_LEFT = f"{_FORGET} AND tries <= 0"
# Rows that another attempt holds are left to it.
_PRUNE = """
DELETE FROM sign_in_fact WHERE tenant = :tenant AND kind = :kind AND key IN (
  SELECT key FROM sign_in_fact WHERE tenant = :tenant AND kind = :kind AND at < GREATEST(
    clock_timestamp() - make_interval(secs => CAST(:age_s AS float8)),
    (SELECT at FROM sign_in_fact WHERE tenant = :tenant AND kind = :kind ORDER BY at DESC OFFSET :most LIMIT 1))
  FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True)
class DatabaseThrottle:
    """Recent attempts at every host; see ``Throttle``. A user is known for 30 days after the last sign-in."""

    database: SharedDatabase
    remembered: int = REMEMBERED

    def standing(self, name: str, address: str) -> Standing:
        """Return what is known of a name at an address."""
        with answering():
            return _standing(self.database.read(_ROWS, **_keys(name, address)))

    def begin(self, name: str, address: str) -> float:
        """Record a try, or return the seconds left to wait."""
        keys = _keys(name, address)
        with answering(), self.database.transaction() as transaction:
            transaction.run(_IN_TURN, address=keys["address"])
            wait_s = _standing(transaction.run(_ROWS, **keys)).wait_s
            if wait_s <= 0:
                transaction.run(_COUNT, kind=_USER, key=keys["user"])
                transaction.run(_COUNT, kind=_ADDRESS, key=keys["address"])
                self._prune(transaction, _USER, FORGOTTEN_AFTER_S)
                self._prune(transaction, _ADDRESS, FORGOTTEN_AFTER_S)
        return wait_s

    def succeeded(self, name: str, address: str) -> None:
        """Record that the last try was right."""
        keys = _keys(name, address)
        with answering(), self.database.transaction() as transaction:
            transaction.run(_IN_TURN, address=keys["address"])
            transaction.run(_FORGET, kind=_USER, key=keys["user"])
            transaction.run(_FORGIVE, kind=_ADDRESS, key=keys["address"])
            transaction.run(_NOT_ONE_LEFT, kind=_ADDRESS, key=keys["address"])
            transaction.run(_NOTE, kind=_KNOWN, key=keys["user"])
            self._prune(transaction, _KNOWN, _KNOWN_FOR_S)

    def _prune(self, transaction: SharedTransaction, kind: str, age_s: float) -> None:
        transaction.run(_PRUNE, kind=kind, age_s=age_s, most=self.remembered - 1)


@dataclass(frozen=True)
class DatabaseStates:
    """States that came back to any host: each is accepted once. See ``UsedStates``."""

    database: SharedDatabase

    def add_new(self, state: str) -> bool:
        """Return True if the state came back for the first time."""
        with answering(), self.database.transaction() as transaction:
            new = transaction.run(_NEW, kind=_STATE, key=_digest((state,)))
            transaction.run(_PRUNE, kind=_STATE, age_s=_KNOWN_FOR_S, most=_STATES - 1)
        return bool(new)


def _standing(rows: list[list[object]]) -> Standing:
    found = {str(kind): Tries(int(str(tries)), float(str(since))) for kind, tries, since in rows}
    known = found.get(_KNOWN)
    return standing_of(
        found.get(_USER, Tries()), found.get(_ADDRESS, Tries()), known is not None and known.since_s <= _KNOWN_FOR_S
    )


def _keys(name: str, address: str) -> dict[str, str]:
    return {"user": _digest(user_key(name, address)), "address": _digest(address_key(address))}


def _digest(key: tuple[str, ...]) -> str:
    return sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()
