"""One thread for each destination: build the messages that it lacks, while others send those that are due.

A destination that hangs delays no other. Everything that has to survive is in the outbox's files.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from triage.channels.base import Channel, DeliveryStatus, ObjectUnreadError
from triage.channels.settings import Destination
from triage.delivery.build import Builder, BuildResult, build_if_changed, take_out_lesser
from triage.delivery.due import until
from triage.delivery.outbox import Outbox
from triage.delivery.sender import UNREACHABLE, Sender, cause_or_place
from triage.delivery.unread import UnreadNotes, UnreadTurns
from triage.errors import cause
from triage.metrics.delivery import DeliveryMetrics
from triage.runtime.log_context import about
from triage.runtime.logs import where_raised
from triage.runtime.progress import ProgressWatch
from triage.spool.errors import LockedError
from triage.spool.processes import LeaseLostError
from triage.spool.store import Store
from triage.spool.study import GIVEN_UP_AFTER_S
from triage.spool.study_errors import is_of_one_study

logger = logging.getLogger(__name__)

_ROUND_S = 10.0  # after building and sending for so long, look for new results
_GAUGES_S = 5.0
_GRACE_S = 20.0
_LOOKS_UP_S = 0.2  # how long a wait may hide that another process leads
_CLOCKS_DIFFER_S = 60.0  # a mark from further ahead was made by a clock that was wrong


class DestinationLoop(Protocol):
    """The work of one destination's thread."""

    @property
    def name(self) -> str:
        """The destination's name."""

    def round(self) -> None:
        """Build and send once."""


@dataclass
class Deliverer:
    """Builds and sends the messages of one destination. ``now`` is the clock, in POSIX seconds.

    ``test``: its messages are about no patient.
    """

    spool: Store
    outbox: Outbox
    destination: Destination
    channel: Channel
    metrics: DeliveryMetrics
    stopping: Callable[[], bool] = lambda: False
    now: Callable[[], float] = time.time
    test: bool = False
    _counted_at: float = float("-inf")
    _unread: UnreadTurns = field(init=False)

    def __post_init__(self) -> None:
        notes = UnreadNotes(self.spool, self.name)
        self._unread = UnreadTurns(notes, self.outbox, self.destination.longest_interval_s)
        # From the start, so that the first event of each is an increase that an alert can see.
        metrics = self.metrics
        for counter in (
            metrics.built,
            metrics.repaired,
            metrics.skipped,
            metrics.warnings,
            metrics.build_failures,
            metrics.held,
        ):
            counter.labels(self.name)
        for outcome in (*DeliveryStatus, UNREACHABLE):
            self.metrics.attempts.labels(self.name, outcome)

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.destination.name

    def round(self) -> None:
        """Build what is marked and send what is due, both at once; count what is left, also of a round that failed."""
        try:
            marked = self._marked()
            if self.destination.one_at_a_time:
                unbuilt = set(marked)
                self._build_all(marked, unbuilt.discard)
                self._build_and_send([], unbuilt)
            else:
                self._build_and_send(marked)
        finally:
            self._count()

    def build(self) -> None:
        """Build for every study whose mark is old enough. A study that cannot be built holds up no other."""
        self._build_all(self._marked())

    def send(self) -> None:
        """Send what is due, unless the destination is switched off or being left alone."""
        self._build_and_send([])

    def _build_and_send(self, marked: Sequence[str], held: Collection[str] = ()) -> None:
        """Build for ``marked`` and send what is due, but nothing of the studies ``held``."""
        sender = Sender(self.spool, self.outbox, self.destination, self.channel, self.metrics, self.stopping, self.now)
        due = sender.due({*marked, *held}, _ROUND_S)
        if due is None or not (marked or due.any()):
            self._build_all(marked)
            return
        with sender.sending(due):
            self._build_all(marked, due.built)

    def _marked(self) -> list[str]:
        """Return the studies whose mark is old enough; last those whose images could not be read."""
        now, marked = self.now(), self.outbox.marked(self.name)
        self._unread.look({uid for _, uid in marked}, now)
        due = now - self.destination.delay_s
        wanted = [uid for since, uid in marked if since <= due or since > now + _CLOCKS_DIFFER_S]
        return sorted(wanted, key=self._unread.waits)

    def _build_all(self, marked: Sequence[str], on_built: Callable[[str], None] | None = None) -> None:
        """Build for each study. Raises what failed if nothing went well: then it is of more than one study."""
        ended, errors, tried = until(_ROUND_S, self.stopping), list[OSError](), 0
        waiting = self._waiting_of_put_off(marked) if on_built else set()
        for uid in marked:
            if ended():
                break
            if self._unread.may_be_tried(uid, self.now()):
                tried += 1
                errors += self._build_one(uid)
            elif uid in waiting:
                self._look_at(uid)
            if on_built and self._unread.may_leave(uid):
                on_built(uid)
        if errors and len(errors) == tried:
            raise errors[0]

    def _waiting_of_put_off(self, marked: Sequence[str]) -> set[str]:
        """Return the studies with messages that wait; none if no study can be put off in this round."""
        if not any(map(self._unread.waits, marked)):
            return set()
        return {each.study_instance_uid for each in self.outbox.waiting(self.name)}

    def _look_at(self, uid: str) -> None:
        """Let no message of a study leave that is put off and of which more is known by now. Never raises OSError."""
        begun = self.now()
        try:
            take_out_lesser(self._builder(), uid, begun)
        except (OSError, ValueError, KeyError, TypeError) as error:  # said again when it is built
            self._unread.failed(uid, begun, self.now(), looked_at=False)
            logger.warning("%s: messages of study %s wait: %s", self.name, uid, cause_or_place(error))

    def _build_one(self, uid: str) -> list[OSError]:
        """Build for a study; return the error for which it was put off, if that may be of others, too."""
        begun = self.now()
        try:
            with about(destination=self.name, study=uid):
                built = self._build(uid)
        except ObjectUnreadError as error:
            self._cannot_read(uid, error)
        except OSError as error:
            self._put_off(uid, begun, error)
            return [] if isinstance(error, LockedError) else [error]
        except Exception as error:  # the edge: whatever one study does to an encoder
            self._cannot_build(uid, error)
        else:
            self._count_built(uid, begun, built)
        return []

    def _count_built(self, uid: str, begun: float, built: BuildResult) -> None:
        if built is BuildResult.UNREAD:
            if self._unread.failed(uid, begun, self.now(), looked_at=True):
                logger.warning("%s: the message of study %s waits, as its images cannot be read", self.name, uid)
            return
        self._unread.done(uid)
        if built in (BuildResult.BUILT, BuildResult.REPAIRED, BuildResult.WITHDRAWN):
            self.metrics.built.labels(self.name).inc()
        if built is BuildResult.REPAIRED:
            self.metrics.repaired.labels(self.name).inc()
        elif built is BuildResult.SKIPPED:
            self.metrics.skipped.labels(self.name).inc()
        elif built is BuildResult.HELD:
            self.metrics.held.labels(self.name).inc()

    def _build(self, uid: str) -> BuildResult:
        return build_if_changed(self._builder(), uid, self.now(), may_be_noted=self._unread.is_noted(uid))

    def _builder(self) -> Builder:
        waits_s = max(self._tries_last_s(), GIVEN_UP_AFTER_S)
        return Builder(self.spool, self.outbox, self.name, self.channel, self.test, waits_s)

    def _tries_last_s(self) -> float:
        """Return for how many seconds a message is tried that the destination does not take."""
        first_s, longest_s = self.destination.first_interval_s, self.destination.longest_interval_s
        return sum(min(first_s * 2.0 ** min(n, 30), longest_s) for n in range(self.destination.tries - 1))

    def _cannot_read(self, uid: str, error: ObjectUnreadError) -> None:
        """Give up a message that cannot be built without an object that was waited for. The others go on."""
        if not self.spool.gives_objects():  # no fault of this study: nothing can be built
            raise error
        self._give_up(uid, f"an object of it cannot be read: {cause(error)}; see `triage store compare`")

    def _put_off(self, uid: str, begun: float, error: OSError) -> None:
        """Have a study wait that alone cannot be read or written, or that another process holds. The others go on.

        It is never given up for that. Raises ``error`` where it is of all studies.
        """
        if isinstance(error, LeaseLostError) or not (
            is_of_one_study(error, self.spool) and (isinstance(error, LockedError) or self.spool.gives_objects())
        ):
            raise error
        self._unread.failed(uid, begun, self.now(), looked_at=False)
        logger.warning("%s: the message of study %s waits, and is tried again: %s", self.name, uid, cause(error))

    def _cannot_build(self, uid: str, error: Exception) -> None:
        """The message of an encoder's error may quote a patient's name, so only its kind and place are kept."""
        self._give_up(uid, where_raised(error))

    def _give_up(self, uid: str, why: str) -> None:
        begun = self.now()
        try:
            with suppress(ValueError, KeyError, TypeError):  # its records cannot be read
                take_out_lesser(self._builder(), uid, begun)  # else a NORMAL would leave in place of what failed
        except OSError as error:
            self._put_off(uid, begun, error)
            return
        self.outbox.dead.bury_study(uid, self.name, f"cannot be built: {why}")
        self._unread.done(uid)
        self._unread.notes.forget(uid)  # one that a person requeues is waited for anew
        self.metrics.build_failures.labels(self.name).inc()
        logger.error("%s: the message of study %s cannot be built: %s", self.name, uid, why)

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._counted_at < _GAUGES_S:
            return
        self._counted_at = now
        self.metrics.waiting.labels(self.name).set(len(self.outbox.waiting(self.name)))
        self.metrics.oldest.labels(self.name).set(self.outbox.oldest(self.name))
        self.metrics.dead.labels(self.name).set(self.outbox.dead.count(self.name))
        self.metrics.without_images.labels(self.name).set(self._unread.told)
        self.metrics.switched_off.labels(self.name).set(self.outbox.disabled(self.name))


def run(
    deliverers: Sequence[DestinationLoop],
    stopping: Callable[[], bool],
    wait: Callable[[float], None],
    interval_s: float,
    progress: Mapping[str, ProgressWatch],
    lead_lost: Callable[[], bool] = lambda: False,
) -> bool:
    """Deliver until ``stopping()``. A message being sent then gets some seconds; if it is cut off, it is sent again.

    Return whether no thread is at work any more.
    ``progress`` has a watch for each destination's name, which its rounds update. Where ``lead_lost()`` nothing is
    waited for: another process sends already, and what is in flight here must not arrive behind it.
    """
    threads = [
        threading.Thread(
            target=_loop, args=(each, stopping, wait, interval_s, progress[each.name]), name=each.name, daemon=True
        )
        for each in deliverers
    ]
    for thread in threads:
        thread.start()
    while not stopping():
        wait(interval_s)
    over = until(_GRACE_S, lead_lost)
    while not over() and (at_work := [each for each in threads if each.is_alive()]):
        at_work[0].join(_LOOKS_UP_S)
    return not any(thread.is_alive() for thread in threads)


def warn_of_strangers(outbox: Outbox, names: Sequence[str]) -> None:
    """Warn of messages for destinations that the settings no longer have: they delay retention."""
    for name in sorted(outbox.known() - set(names)):
        if count := len(outbox.marked(name)) + len(outbox.waiting(name)) + outbox.dead.count(name):
            logger.warning(
                "%d results wait for %s, which is not switched on in the settings; `triage channel %s --drop` "
                "forgets them",
                count,
                name,
                name,
            )


def _loop(
    deliverer: DestinationLoop,
    stopping: Callable[[], bool],
    wait: Callable[[float], None],
    interval_s: float,
    progress: ProgressWatch,
) -> None:
    while not stopping():
        try:
            deliverer.round()
            progress.made()
        except Exception as error:  # the edge: a full disk, or a fault of ours; the other destinations go on
            progress.failed(f"{deliverer.name}: {cause_or_place(error)}")
            logger.error("%s: %s; trying again", deliverer.name, cause_or_place(error))
            wait(interval_s * 5)
        wait(interval_s)
