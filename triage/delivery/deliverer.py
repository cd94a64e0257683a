"""One thread for each destination: build the messages that it lacks, send those that are due.

A destination that hangs delays no other. Everything that has to survive is in the outbox's files.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from triage.channels.base import Channel, DeliveryStatus, Send, SendResult
from triage.channels.settings import Destination
from triage.delivery.build import Builder, BuildResult, build_if_changed
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState, OutgoingObject, milliseconds
from triage.errors import UnreachableError, cause
from triage.metrics.delivery import DeliveryMetrics
from triage.runtime.log_context import about
from triage.runtime.logs import where_raised
from triage.runtime.progress import ProgressWatch
from triage.spool.processes import LeaseLostError
from triage.spool.store import Store
from triage.spool.study import associations_of

logger = logging.getLogger(__name__)

UNREACHABLE = "unreachable"
"""The outcome of an attempt at a destination that does not answer; the others are those of ``DeliveryStatus``."""

_ROUND_S = 10.0  # after building for so long, send; after sending for so long, look for new results
_GAUGES_S = 5.0
_GRACE_S = 20.0
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

    def __post_init__(self) -> None:
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
        """Build what is marked, send what is due, count what is left."""
        self.build()
        self.send()
        self._count()

    def build(self) -> None:
        """Build for every study whose mark is old enough. A study that cannot be built holds up no other."""
        due = self.now() - self.destination.delay_s
        now = self.now()
        marked = [uid for since, uid in self.outbox.marked(self.name) if since <= due or since > now + _CLOCKS_DIFFER_S]
        if not marked:
            return
        waiting = self.outbox.waiting(self.name)
        until = time.monotonic() + _ROUND_S
        for uid in marked:
            if self.stopping() or time.monotonic() > until:
                return
            try:
                with about(destination=self.name, study=uid):
                    built = self._build(uid, waiting)
            except OSError:
                raise
            except Exception as error:  # the edge: whatever one study does to an encoder
                self._cannot_build(uid, error)
                continue
            if built in (BuildResult.BUILT, BuildResult.REPAIRED, BuildResult.WITHDRAWN):
                self.metrics.built.labels(self.name).inc()
            if built is BuildResult.REPAIRED:
                self.metrics.repaired.labels(self.name).inc()
            elif built is BuildResult.SKIPPED:
                self.metrics.skipped.labels(self.name).inc()
            elif built is BuildResult.HELD:
                self.metrics.held.labels(self.name).inc()

    def _build(self, uid: str, waiting: list[OutgoingObject]) -> BuildResult:
        builder = Builder(self.spool, self.outbox, self.name, self.channel, self.test)
        return build_if_changed(builder, uid, waiting, self.now())

    def send(self) -> None:
        """Send what is due, over one connection, unless the destination is switched off or being left alone."""
        failures, next_try, _ = self.outbox.pause(self.name)
        now = self.now()
        if self._is_ahead(next_try, failures, now) or self.outbox.disabled(self.name):
            return
        due = self._due(now)
        if not due:
            return
        try:
            with self.channel.connect() as send:
                self.metrics.up.labels(self.name).set(1)
                self._send_all(send, due, failures)
        except UnreachableError as error:
            self.metrics.up.labels(self.name).set(0)
            self.metrics.attempts.labels(self.name, UNREACHABLE).inc()
            self._pause(failures + 1, str(error))

    def _due(self, now: float) -> list[OutgoingObject]:
        """Return the messages that are due; of each study the first, so that no older result follows a newer one."""
        waiting = self.outbox.waiting(self.name)
        first: dict[str, int] = {}
        for item in waiting:
            first[item.study_instance_uid] = min(item.number, first.get(item.study_instance_uid, item.number))
        return [
            each
            for each in waiting
            if not self._is_ahead(each.due / 1000, each.tries, now) and each.number == first[each.study_instance_uid]
        ]

    def _is_ahead(self, next_try: float, tries: int, now: float) -> bool:
        """Return whether it is too early for the next attempt after ``tries``.

        A time that is further ahead than an interval was written by a wrong clock: then it is not too early.
        """
        longest_s = self._interval(tries - 1) if tries else 0.0
        return milliseconds(now) < milliseconds(next_try) <= milliseconds(now + longest_s)

    def _send_all(self, send: Send, due: Sequence[OutgoingObject], failures: int) -> None:
        until = time.monotonic() + _ROUND_S
        for item in due:
            if self.stopping() or time.monotonic() > until or self.outbox.disabled(self.name):
                return
            study = item.study_instance_uid
            try:
                state, payload = self.outbox.state(item), self.outbox.payload(item)
            except FileNotFoundError:  # a person has dropped it meanwhile
                continue
            except LeaseLostError:  # another deliverer sends it
                raise
            except (OSError, ValueError, KeyError, TypeError) as error:
                # Of one study: the others are told all the same, and the alert of what waits too long says that it does
                logger.error(
                    "%s: what study %s is to be told cannot be read (%s): restore its files from a backup",
                    *(self.name, study, _cause_or_place(error)),
                )
                continue
            if state is not DeliveryState.WAITING:
                self.outbox.tidy(item, state)
                continue
            came = associations_of(self.spool, study)
            with about(destination=self.name, study=study, revision=item.revision, association=came):
                outcome = self._sent(send, payload)
                self._settle(item, outcome)
            if outcome.lost:
                self._pause(failures + 1, outcome.detail)
                return
            if failures:
                failures = 0
                self.outbox.set_pause(self.name, 0, 0.0, "")

    def _sent(self, send: Send, payload: bytes) -> SendResult:
        """Send and return the result; an unforeseen answer or fault counts as a failed attempt, and not for ever."""
        try:
            return send(payload)
        except UnreachableError:
            raise
        except Exception as error:  # the edge: whatever a peer answers, and whatever a file holds
            return SendResult(DeliveryStatus.RETRY, f"it could not be sent: {_cause_or_place(error)}", lost=True)

    def _settle(self, item: OutgoingObject, outcome: SendResult) -> None:
        now = self.now()
        status = outcome.status
        if status is DeliveryStatus.RETRY and item.tries + 1 >= (outcome.tries or self.destination.tries):
            status = DeliveryStatus.DEAD
        noted = f"{outcome.detail}: {outcome.told}" if outcome.told else outcome.detail
        where = self._where(item)
        if status is DeliveryStatus.DELIVERED:
            self._delivered(item, outcome, noted, now)
        elif status is DeliveryStatus.DEAD:
            self.outbox.bury(item, noted, now)
            logger.error("%s is a dead letter after attempt %d: %s", where, item.tries + 1, outcome.detail)
        else:
            wait_s = self._interval(item.tries)
            self.outbox.postpone(item, noted, now, wait_s)
            logger.warning("%s, attempt %d: %s; again in %.0f s", where, item.tries + 1, outcome.detail, wait_s)
        self.metrics.attempts.labels(self.name, status).inc()

    def _delivered(self, item: OutgoingObject, outcome: SendResult, noted: str, now: float) -> None:
        where = self._where(item)
        record = self.outbox.delivered(item, noted, now)
        self.outbox.supersede_dead(item, now)
        self.metrics.time_to_delivery.labels(self.name).observe(max(now - record.decided_at, 0.0))
        with about(sent_as=" ".join(record.identity.values())):
            if outcome.warned:
                self.metrics.warnings.labels(self.name).inc()
                logger.warning("%s was delivered, %s", where, outcome.detail)
            else:
                logger.info("%s was delivered: %s", where, outcome.detail, extra={"source": item.study_instance_uid})

    def _where(self, item: OutgoingObject) -> str:
        return f"{self.name}: study {item.study_instance_uid} (revision {item.revision[:8]})"

    def _pause(self, failures: int, why: str) -> None:
        wait_s = self._interval(failures - 1)
        self.outbox.set_pause(self.name, failures, self.now() + wait_s, why)
        logger.warning("%s: %s; nothing is sent there for %.0f s", self.name, why, wait_s)

    def _interval(self, before: int) -> float:
        return float(min(self.destination.first_interval_s * 2 ** min(before, 30), self.destination.longest_interval_s))

    def _cannot_build(self, uid: str, error: Exception) -> None:
        """The message of an encoder's error may quote a patient's name, so only its kind and place are kept."""
        why = where_raised(error)
        self.outbox.bury_mark(uid, self.name, f"cannot be built: {why}")
        self.metrics.build_failures.labels(self.name).inc()
        logger.error("%s: the message of study %s cannot be built: %s", self.name, uid, why)

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._counted_at < _GAUGES_S:
            return
        self._counted_at = now
        self.metrics.waiting.labels(self.name).set(len(self.outbox.waiting(self.name)))
        self.metrics.oldest.labels(self.name).set(self.outbox.oldest(self.name))
        self.metrics.dead.labels(self.name).set(self.outbox.dead_count(self.name))
        self.metrics.switched_off.labels(self.name).set(self.outbox.disabled(self.name))


def run(
    deliverers: Sequence[DestinationLoop],
    outbox: Outbox,
    stopping: Callable[[], bool],
    wait: Callable[[float], None],
    interval_s: float,
    progress: Mapping[str, ProgressWatch],
) -> bool:
    """Deliver until ``stopping()``. A message being sent then gets some seconds; if it is cut off, it is sent again.

    Return whether no thread is at work any more.
    ``progress`` has a watch for each destination's name, which its rounds update.
    """
    warn_of_strangers(outbox, [each.name for each in deliverers])
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
    deadline = time.monotonic() + _GRACE_S
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return not any(thread.is_alive() for thread in threads)


def warn_of_strangers(outbox: Outbox, names: Sequence[str]) -> None:
    """Warn of messages for destinations that the settings no longer have: they delay retention."""
    for name in sorted(outbox.known() - set(names)):
        if count := len(outbox.marked(name)) + len(outbox.waiting(name)) + outbox.dead_count(name):
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
            progress.failed(f"{deliverer.name}: {_cause_or_place(error)}")
            logger.error("%s: %s; trying again", deliverer.name, _cause_or_place(error))
            wait(interval_s * 5)
        wait(interval_s)


def _cause_or_place(error: Exception) -> str:
    return cause(error) if isinstance(error, OSError) else where_raised(error)
