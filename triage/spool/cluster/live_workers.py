"""The live processes of a store in a database: a row for each, with the deadline of its lease."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from triage.spool.cluster.connection import APPLICATION
from triage.spool.cluster.leases import HeldLease, Leases, local_transaction
from triage.spool.cluster.pool import ConnectionPool, host_of
from triage.spool.cluster.rows import Scope
from triage.spool.processes import LedElsewhereError, names_a_worker

logger = logging.getLogger(__name__)

_WORKER, _ALONE = "worker", "alone"
_LOOKS = 10
"""Times that we look at a lease while it could end."""

_TAKE = """
INSERT INTO lease AS held (tenant, partition, kind, name, token, started, deadline, holder)
VALUES (:tenant, :partition, :kind, :name, CAST(:token AS uuid), clock_timestamp(),
  clock_timestamp() + make_interval(secs => CAST(:lease_s AS float8)), :holder)
ON CONFLICT (tenant, partition, kind, name) DO UPDATE
SET token = EXCLUDED.token, started = EXCLUDED.started, deadline = EXCLUDED.deadline, ended = false,
  holder = EXCLUDED.holder
WHERE held.ended OR held.deadline < clock_timestamp() OR held.token = EXCLUDED.token
RETURNING 1
"""
_DEADLINE = """
SELECT CAST(extract(epoch FROM deadline) AS float8), deadline >= clock_timestamp() AND NOT ended, ended FROM lease
WHERE tenant = :tenant AND partition = :partition AND kind = :kind AND name = :name
"""
_HOLDER = """
SELECT holder, deadline >= clock_timestamp() AND NOT ended AND CAST(token AS text) <> :unsure FROM lease
WHERE tenant = :tenant AND partition = :partition AND kind = :kind AND name = :name
"""
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = :holder AND usename = current_user AND datname = current_database()
AND pid <> pg_backend_pid()
"""
"""A process that stands still in a transaction keeps its lease from being taken until the server ends that."""
_DECLARE = """
UPDATE lease SET ended = true, token = gen_random_uuid() WHERE token IN (
  SELECT token FROM lease WHERE tenant = :tenant AND partition = :partition AND kind = 'worker' AND name = :name
  AND NOT ended AND deadline < clock_timestamp() FOR UPDATE SKIP LOCKED)
RETURNING 1
"""
_COUNT = """
SELECT count(*) FILTER (WHERE deadline >= clock_timestamp() AND NOT ended), count(*) FROM lease
WHERE tenant = :tenant AND partition = :partition AND kind = 'worker'
"""
_CONNECTED = """
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND starts_with(application_name, :ours)
AND NOT starts_with(application_name, :own)
AND NOT EXISTS (SELECT 1 FROM installation WHERE tenant <> :tenant)
ORDER BY application_name
"""
_FORGET = """
DELETE FROM lease WHERE tenant = :tenant AND partition = :partition AND deadline < clock_timestamp()
AND started < to_timestamp(CAST(:before AS float8))
"""


class LeasedWorkers:
    """The live processes of one partition; see ``LiveWorkers``."""

    def __init__(self, pool: ConnectionPool, leases: Leases, scope: Scope) -> None:
        self._pool, self._leases, self._scope = pool, leases, scope
        self._unsure: dict[tuple[str, str, str], str] = {}
        """Tokens of leases that this process may have taken: the answer to their COMMIT was lost."""

    @contextmanager
    def hold(self, worker_name: str) -> Iterator[None]:
        """Hold the name of a worker, for its life. Raises BlockingIOError if another process holds it."""
        begun = self._leases.now
        token = self._take(_WORKER, worker_name)
        if not token:
            raise BlockingIOError(errno.EAGAIN, f"another process is the worker {worker_name}")
        with self._leases.held(token, worker_name, begun, ends_process=False):
            yield

    @contextmanager
    def hold_alone(self, name: str, refusal: Exception) -> Iterator[int]:
        """Hold the name of a process of which one at most may run. Raises ``refusal`` if another one lives.

        Waits for the lease of one that may be dead: until it is renewed or has ended.
        """
        seen = None
        while True:
            begun = self._leases.now
            if token := self._take(_ALONE, name):
                break
            deadline = self._run(_DEADLINE, kind=_ALONE, name=name)
            if seen and deadline and deadline[0][0] != seen[0][0]:
                raise refusal
            seen = deadline or seen
            time.sleep(self._leases.lease_s / _LOOKS)
        with self._leases.held(token, name, begun, ends_process=True):
            yield -1

    @contextmanager
    def lead(self, name: str) -> Iterator[HeldLease]:
        """Hold the place of a process of which one leads. Raises LedElsewhereError if another one does.

        The sessions of one whose lease has ended are ended: it may stand still in the midst of a transaction.
        """
        for holder, lives in self._holder(name):
            if lives:  # to try to take it would wait for the transaction that the leader is in
                raise LedElsewhereError(host_of(holder))
            self._end_sessions(holder)
        begun = self._leases.now
        token = self._take(_ALONE, name)
        if not token:
            raise LedElsewhereError(self.leader(name))
        with self._leases.held(token, name, begun, ends_process=True) as lease:
            yield lease

    def leader(self, name: str) -> str:
        """Return the host whose process leads; empty if there is none."""
        return next((host_of(holder) for holder, lives in self._holder(name) if lives), "")

    def _end_sessions(self, holder: str) -> None:
        """End the sessions of another process; none has an empty name. What this one is in the midst of goes on."""
        if holder and holder != self._pool.process:
            with local_transaction(self._pool) as connection:
                connection.run(_END_SESSIONS, holder=holder)

    def _holder(self, name: str) -> list[tuple[str, bool]]:
        """Return the holder of a place, and whether it lives; a lease is no one's that this process may have taken."""
        unsure = self._unsure.get(self._place(_ALONE, name), "")
        return [
            (str(holder), bool(lives)) for holder, lives in self._run(_HOLDER, kind=_ALONE, name=name, unsure=unsure)
        ]

    def is_alive(self, worker_name: str) -> bool:
        """Return whether a worker lives. False for a malformed name.

        One whose lease has ended is declared dead by it: if it only stood still, it cannot go on.
        """
        found = self._run(_DEADLINE, kind=_WORKER, name=worker_name) if names_a_worker(worker_name) else []
        if not found or found[0][2]:
            return False
        return bool(found[0][1]) or not self._run(_DECLARE, name=worker_name)

    def has_died(self, worker_name: str) -> bool:
        """Return whether a worker ended without giving its lease back."""
        if self.is_alive(worker_name) or not names_a_worker(worker_name):
            return False
        return bool(self._run(_DEADLINE, kind=_WORKER, name=worker_name))

    def is_fenced(self) -> bool:
        """Return whether a lease of this process was taken from it, as the last renewal or statement found."""
        return self._leases.any_lost

    def count(self) -> tuple[int, int]:
        """Return the numbers of live workers, and of dead ones whose name is still known."""
        ((alive, known),) = self._run(_COUNT)
        return int(str(alive)), int(str(known)) - int(str(alive))

    def connected(self) -> list[str]:
        """Return the other processes with a session; none of a database that several installations share."""
        own = " ".join(self._pool.process.split()[:3])
        with local_transaction(self._pool) as connection:
            sessions = connection.run(_CONNECTED, ours=f"{APPLICATION} ", own=f"{own} ", tenant=self._scope.tenant)
        return sorted({" ".join(str(name).split()[1:3]) for (name,) in sessions})

    def remove_old(self, before: float) -> None:
        """Forget the dead processes that started before ``before`` (POSIX seconds)."""
        self._run(_FORGET, before=before)

    def _take(self, kind: str, name: str) -> str:
        """Take a lease that is free, and return its token; empty if a process has it.

        One that was taken by a COMMIT whose answer was lost is free too: this process holds nothing by it.
        """
        place = self._place(kind, name)
        token = self._unsure.setdefault(place, str(uuid4()))
        values = {"kind": kind, "name": name, "token": token, "holder": self._pool.process}
        taken = self._run(_TAKE, lease_s=self._leases.lease_s, **values)
        del self._unsure[place]
        return token if taken else ""

    def _place(self, kind: str, name: str) -> tuple[str, str, str]:
        """Return a lease's key among those that are unsure: of this process alone, and of no parent's."""
        return self._pool.process, kind, name

    def _run(self, sql: str, **values: str | float) -> list[list[object]]:
        with local_transaction(self._pool) as connection:
            return connection.run(sql, tenant=self._scope.tenant, partition=self._scope.partition, **values)
