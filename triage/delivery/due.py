"""The messages that are due at one destination, handed out to its connections while others are being built."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from triage.delivery.record import OutgoingObject

_LOOKS_UP_S = 0.5  # how long a wait may hide that the process is to end


class DueMessages:
    """Hands out each message once, in the order in which they are due. Thread-safe.

    Of a study one message at a time: the first, and the next once that is settled; none while it is in ``to_build``: a
    newer result takes the place of one that never left, which must not leave meanwhile.
    """

    def __init__(
        self, find: Callable[[], Sequence[OutgoingObject]], to_build: Collection[str], ended: Callable[[], bool]
    ) -> None:
        """Prepare.

        Args:
            find: Return what is due now, of each study the first message.
            to_build: The studies that a message is about to be built of.
            ended: Return whether no more is to be sent: the time is up, or the process ends.
        """
        self._find, self._ended = find, ended
        self._to_build = set(to_build)
        self._building = True
        self._stopped = self._open = False
        self._changed = threading.Condition()
        self._stale = True
        self._ready: deque[OutgoingObject] = deque()
        self._handed_out: set[str] = set()
        self._in_flight: set[str] = set()
        self._held_back: set[str] = set()

    def any(self) -> bool:
        """Return whether a message is due now."""
        with self._changed:
            return self._has(1)

    def built(self, study_instance_uid: str) -> None:
        """Note that no message is about to be built of a study any more."""
        with self._changed:
            self._to_build.discard(study_instance_uid)
            self._stale = True
            self._changed.notify_all()

    def settled(self, item: OutgoingObject) -> None:
        """Note that a message which was handed out is in flight no more."""
        with self._changed:
            self._in_flight.discard(item.study_instance_uid)
            self._stale = self._stale or item.study_instance_uid in self._held_back
            self._held_back.discard(item.study_instance_uid)
            self._changed.notify_all()

    def all_built(self) -> None:
        """Note that nothing more is built: who waits for a message gets what there is, or none."""
        with self._changed:
            self._building, self._stale = False, True
            self._changed.notify_all()

    def stop(self) -> bool:
        """Hand out nothing more; return whether this is the first call."""
        with self._changed:
            first, self._stopped = not self._stopped, True
            self._changed.notify_all()
            return first

    def opened(self) -> None:
        """Note that a connection is open."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def wait_for_one(self) -> bool:
        """Wait until a message is due; return False if none comes any more."""
        with self._changed:
            return self._await(lambda: self._has(1), lambda: False)

    def wait_for_many(self, least: int) -> bool:
        """Wait until a connection is open and ``least`` messages are due; False if it does not come to that."""
        with self._changed:
            return self._await(lambda: self._open and self._has(least), lambda: self._has(least))

    def take(self) -> OutgoingObject | None:
        """Return the next message once there is one; None if none comes any more."""
        with self._changed:
            if not self._await(lambda: self._has(1), lambda: False):
                return None
            item = self._ready.popleft()
            self._handed_out.add(item.name)
            self._in_flight.add(item.study_instance_uid)
            return item

    def _await(self, ready: Callable[[], bool], may_become: Callable[[], bool]) -> bool:
        while not (self._stopped or self._ended()):
            if ready():
                return True
            if not self._building and not may_become():
                return False
            self._changed.wait(_LOOKS_UP_S)
        return False

    def _has(self, least: int) -> bool:
        if len(self._ready) < least and self._stale:
            self._stale = False
            self._ready = deque(filter(self._may_go, self._find()))
        return len(self._ready) >= least

    def _may_go(self, item: OutgoingObject) -> bool:
        if item.name in self._handed_out or item.study_instance_uid in self._to_build:
            return False
        if item.study_instance_uid in self._in_flight:  # an older one that a person has requeued meanwhile
            self._held_back.add(item.study_instance_uid)
            return False
        return True


def until(seconds: float, stopping: Callable[[], bool]) -> Callable[[], bool]:
    """Return what says whether ``seconds`` are over from now, or the process is to end."""
    deadline = time.monotonic() + seconds
    return lambda: stopping() or time.monotonic() > deadline
