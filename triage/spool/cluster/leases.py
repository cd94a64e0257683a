"""Leases: a name that one process holds until a deadline, which a thread of it renews (docs/adr/0072)."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

from triage.runtime.lasting_thread import lasting_thread, unless
from triage.spool.cluster.connection import Connection
from triage.spool.cluster.pool import ConnectionPool, around_fork
from triage.spool.processes import LeaseLostError

logger = logging.getLogger(__name__)

_RENEWALS = 4
"""Times that a lease is renewed before it would end."""

_THERE = "SELECT CAST(token AS text) FROM lease WHERE token = ANY(CAST(:tokens AS uuid[]))"
_KEEP = f"{_THERE} FOR KEY SHARE"
_RENEW = """
UPDATE lease SET deadline = clock_timestamp() + make_interval(secs => CAST(:lease_s AS float8))
WHERE token = ANY(CAST(:tokens AS uuid[])) RETURNING CAST(token AS text)
"""


@dataclass
class HeldLease:
    """A lease of this process. ``until`` is by this machine's clock, and never later than the database's deadline."""

    name: str
    ends_process: bool
    until: float
    lost: bool = False
    kept: bool = False

    @property
    def is_certain(self) -> bool:
        """True while no other process can have taken it."""
        return not self.lost and _now() < self.until

    def keep_until_the_end(self) -> None:
        """Do not give it back at the end of the block: it ends by itself, after this process."""
        self.kept = True


class Leases:
    """The leases that this process holds, and the fence of its transactions.

    A lease that another process took, or declared to be that of a dead process, has another token. ``hold`` reads our
    tokens in the transaction that writes, under a lock for which a process that takes it has to wait: what is committed
    was written while the lease was ours, whatever a clock says and however long this process stood still.
    """

    def __init__(self, pool: ConnectionPool, lease_s: float) -> None:
        self.lease_s = lease_s
        self._pool = pool
        self._held: dict[str, HeldLease] = {}
        self._lost = ""
        self._wake = threading.Event()
        self._working = threading.Lock()
        self._thread: threading.Thread | None = None
        around_fork(self, Leases._before_fork, Leases._after_fork, Leases._forget)

    # The fence.

    def check_before_read(self) -> None:
        """Raise LeaseLostError if a lease was lost. Asks the database only if a deadline has passed."""
        if not self._held:
            return
        self._refuse()
        if min((held.until for held in list(self._held.values())), default=inf) < _now():
            connection = self._pool.borrow()
            try:
                self._compare(connection, _THERE)
            finally:
                self._pool.give_back(connection)

    def hold(self, connection: Connection) -> None:
        """Keep the leases from being taken until the session's transaction ends. Raises LeaseLostError if one was."""
        if self._held:
            self._refuse()
            self._compare(connection, _KEEP)

    @property
    def any_lost(self) -> bool:
        """True if a lease was lost, as far as is known: nothing is read or written any more."""
        return bool(self._lost)

    def _compare(self, connection: Connection, sql: str) -> None:
        tokens = list(self._held)
        there = {str(token) for (token,) in connection.run(sql, tokens=tokens)}
        if gone := set(tokens) - there:
            self._lose(gone)
            self._refuse()

    def _refuse(self) -> None:
        if self._lost:
            raise LeaseLostError(errno.ESTALE, f"another process has {self._lost} now, and this one must not act")

    # Holding.

    @contextmanager
    def held(self, token: str, name: str, taken_at: float, *, ends_process: bool) -> Iterator[HeldLease]:
        """Renew a lease that was taken just now, at ``taken_at`` by ``now``, for as long as the block runs.

        ``ends_process``: this process must not go on without it, and is sent SIGTERM if it is lost.
        """
        lease = self._held[token] = HeldLease(name, ends_process, taken_at + self.lease_s)
        self._begin()
        try:
            yield lease
        finally:
            if not lease.kept:
                self._let_go(token)

    @property
    def now(self) -> float:
        """This machine's time in seconds, which also passes while it sleeps."""
        return _now()

    def _let_go(self, token: str) -> None:
        self._held.pop(token, None)
        if not self._held:
            self._end()
        self._release(token)

    def _release(self, token: str) -> None:
        try:
            with local_transaction(self._pool) as connection:
                connection.run("DELETE FROM lease WHERE token = CAST(:token AS uuid)", token=token)
        except OSError as error:
            logger.warning("a lease could not be given back (%s): it ends by itself", error.strerror)

    # Renewing.

    def _begin(self) -> None:
        if self._thread is None:
            self._wake = wake = threading.Event()
            self._thread = lasting_thread("leases", lambda: self._keep(wake), unless(wake))
            self._thread.start()

    def _end(self) -> None:
        self._lost, self._thread = "", None
        self._wake.set()

    def _keep(self, wake: threading.Event) -> None:
        while not wake.wait(self.lease_s / _RENEWALS):
            with self._working:
                try:
                    self._renew()
                except OSError as error:
                    logger.warning("leases cannot be renewed: %s", error.strerror)

    def _renew(self) -> None:
        """Renew all leases; one that expired and that no other process has noticed is ours still."""
        tokens, begun = [token for token, held in list(self._held.items()) if not held.lost], _now()
        if not tokens:
            return
        with local_transaction(self._pool) as connection:
            renewed = {str(token) for (token,) in connection.run(_RENEW, tokens=tokens, lease_s=self.lease_s)}
        for token in renewed:
            if (held := self._held.get(token)) is not None:
                held.until = begun + self.lease_s
        self._lose(set(tokens) - renewed)

    def _lose(self, tokens: set[str]) -> None:
        for held in [self._held[token] for token in tokens if token in self._held]:
            if held.lost:
                continue
            held.lost, self._lost = True, held.name
            logger.error("the lease %s is another process's now: nothing is written any more", held.name)
            if held.ends_process:
                os.kill(os.getpid(), signal.SIGTERM)

    # Forks: a child holds nothing, and no fork happens in the middle of a renewal.

    def _before_fork(self) -> None:
        self._working.acquire()

    def _after_fork(self) -> None:
        self._working.release()

    def _forget(self) -> None:
        self._working = threading.Lock()
        self._held, self._lost, self._thread = {}, "", None


@contextmanager
def local_transaction(pool: ConnectionPool) -> Iterator[Connection]:
    """Open a transaction about leases, which waits for no standby: they are worth nothing after a failover."""
    connection = pool.borrow()
    try:
        connection.command("BEGIN; SET LOCAL synchronous_commit TO local")
        yield connection
        connection.command("COMMIT")
    except BaseException:
        connection.broken = True
        raise
    finally:
        pool.give_back(connection)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
