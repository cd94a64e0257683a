"""Announcements of other processes by NOTIFY: one session of this process listens, in a thread (docs/adr/0078)."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import suppress

from triage.runtime.lasting_thread import lasting_thread, unless
from triage.spool.cluster.connection import Connection
from triage.spool.cluster.pool import ConnectionPool, around_fork

logger = logging.getLogger(__name__)

CHANNEL = "cxr_triage_list"
LOOK_EVERY_S = 5.0
"""Seconds between two looks without a session that listens, and between two proofs that the session is there."""
_TOGETHER_S = 0.1
"""Announcements within so many seconds count as one: a burst costs those who follow ten looks a second at most."""
_ANSWER_S = 5.0


class Announcements:
    """Numbers of announcements by their text. Nothing else of them is kept, so that no number of them waits.

    A process that is told nothing, as its session is lost, is told "another one" every ``look_every_s``: those who
    follow look by themselves then. The same once after each new session: what was announced in between is not known.
    """

    def __init__(self, pool: ConnectionPool, look_every_s: float = LOOK_EVERY_S) -> None:
        """Nothing is connected yet."""
        self._pool, self._look_every_s = pool, look_every_s
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: Connection | None = None
        self._counts: Counter[str] = Counter()
        self._of_all = 0
        self.is_listening = False
        around_fork(self, lambda _: None, lambda _: None, Announcements._forget)

    def count(self, text: str) -> int:
        """Return the number of announcements of ``text`` so far, and of looks; the first call begins to listen."""
        if self._thread is None:
            self._start()
        return self._counts[text] + self._of_all

    def close(self) -> None:
        """End the session and the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_ANSWER_S + 2 * self._look_every_s)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopping.is_set():
                thread = lasting_thread("announcements", self._follow, unless(self._stopping))
                thread.start()
                self._thread = thread

    def _follow(self) -> None:
        told = False
        while not self._stopping.is_set():
            try:
                self._listen()
            except OSError as error:
                if not told:
                    logger.warning(
                        "changes of the worklist are not announced (%s): looked for every %g s until they are",
                        *(error.strerror, self._look_every_s),
                    )
                told = not self.is_listening
            finally:
                self._end()
            self._of_all += 1
            self._stopping.wait(self._look_every_s)

    def _listen(self) -> None:
        """Count announcements until the session is lost or no more wanted. Raises OSError."""
        self._session = session = self._pool.borrow()
        session.command(f"LISTEN {CHANNEL}", _ANSWER_S)
        self._of_all += 1
        self.is_listening = True
        while not self._stopping.is_set():
            self._counts.update(session.announced(self._look_every_s, _ANSWER_S))
            self._stopping.wait(_TOGETHER_S)

    def _end(self) -> None:
        self.is_listening = False
        session, self._session = self._session, None
        if session is not None:
            session.broken = True  # it is not borrowed for anything else
            with suppress(OSError):
                self._pool.give_back(session)

    def _forget(self) -> None:
        """Begin anew in a forked child, which has no thread; the pool abandons the session."""
        self._starting, self._stopping = threading.Lock(), threading.Event()
        self._thread = self._session = None
        self.is_listening = False
