"""Send what is due at one destination, over one connection or several at once, and record what became of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from triage.channels.base import Channel, DeliveryStatus, Send, SendResult
from triage.channels.settings import Destination
from triage.delivery.due import DueMessages, until
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState, OutgoingObject, milliseconds
from triage.errors import UnreachableError, cause
from triage.metrics.delivery import DeliveryMetrics
from triage.runtime.log_context import about
from triage.runtime.logs import where_raised
from triage.spool.processes import LeaseLostError
from triage.spool.store import Store
from triage.spool.study import associations_of

logger = logging.getLogger(__name__)

UNREACHABLE = "unreachable"
"""The outcome of an attempt at a destination that does not answer; the others are those of ``DeliveryStatus``."""


@dataclass
class Sender:
    """Sends the messages of one destination. ``now`` is the clock, in POSIX seconds."""

    spool: Store
    outbox: Outbox
    destination: Destination
    channel: Channel
    metrics: DeliveryMetrics
    stopping: Callable[[], bool]
    now: Callable[[], float]
    _failures: int = 0

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.destination.name

    def due(self, to_build: Collection[str], longest_s: float) -> DueMessages | None:
        """Return what is due for ``longest_s``; None while the destination is switched off or being left alone."""
        self._failures, next_try, _ = self.outbox.pause(self.name)
        now = self.now()
        if self._is_ahead(next_try, self._failures, now) or self.outbox.disabled(self.name):
            return None
        return DueMessages(lambda: self._due(self.now()), to_build, until(longest_s, self.stopping))

    @contextmanager
    def sending(self, due: DueMessages) -> Iterator[None]:
        """Send in threads while the context is open, and then what is still due. Raises what a thread raised."""
        lanes = [_Lane(self._lane, due, number) for number in range(self.destination.connections)]
        for lane in lanes:
            lane.start()
        try:
            yield
        finally:
            due.all_built()
            for lane in lanes:
                lane.join()
        for error in filter(None, (lane.error for lane in lanes)):
            raise error

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

    def _lane(self, due: DueMessages, number: int) -> None:
        """Send over one connection. A further one is opened once the first stands and as many messages wait for it."""
        if not (due.wait_for_many(number + 1) if number else due.wait_for_one()):
            return
        try:
            with self.channel.connect() as send:
                self.metrics.up.labels(self.name).set(1)
                due.opened()
                while (item := due.take()) is not None:
                    if self.outbox.disabled(self.name) or not self._send_one(send, item, due):
                        due.stop()
                    due.settled(item)
        except UnreachableError as error:
            if number:  # the destination takes fewer connections; the first finds out whether it is there
                logger.info("%s: connection %d: %s", self.name, number + 1, error)
            elif due.stop():
                self.metrics.up.labels(self.name).set(0)
                self.metrics.attempts.labels(self.name, UNREACHABLE).inc()
                self._pause(str(error))

    def _send_one(self, send: Send, item: OutgoingObject, due: DueMessages) -> bool:
        """Send a message and record the result; return whether the connection is good for another."""
        study = item.study_instance_uid
        payload = self._payload(item)
        if payload is None:
            return True
        came = associations_of(self.spool, study)
        with about(destination=self.name, study=study, revision=item.revision, association=came):
            try:
                outcome = self._sent(send, payload)
            except UnreachableError:  # no attempt: it did not leave
                with self.spool.study_lock(study):
                    self.outbox.did_not_begin(item)
                raise
            self._settle(item, outcome)
        if outcome.lost:
            if due.stop():
                self._pause(outcome.detail)
            return False
        if self._failures:
            self._failures = 0
            self.outbox.set_pause(self.name, 0, 0.0, "")
        return True

    def _payload(self, item: OutgoingObject) -> bytes | None:
        """Return the bytes to send; None if there are none, or what a crash interrupted is finished with this."""
        if not self.spool.has_study(item.study_instance_uid):  # so long before that retention has removed it since
            self.outbox.forget(item)
            return None
        with self.spool.study_lock(item.study_instance_uid):  # a person may requeue or drop a message of it meanwhile
            if (payload := self._looked_at(item)) is not None:
                self.outbox.begin(item, self.now())
            return payload

    def _looked_at(self, item: OutgoingObject) -> bytes | None:
        try:
            state, payload = self.outbox.state(item), self.outbox.payload(item)
        except FileNotFoundError:  # a person has dropped it meanwhile
            return None
        except LeaseLostError:  # another deliverer sends it
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Of one study: the others are told all the same, and the alert of what waits too long says that it does
            logger.error(
                "%s: what study %s is to be told cannot be read (%s): restore its files from a backup",
                *(self.name, item.study_instance_uid, cause_or_place(error)),
            )
            return None
        if state is not DeliveryState.WAITING:
            self.outbox.tidy(item, state, self.now())
            return None
        return payload

    def _sent(self, send: Send, payload: bytes) -> SendResult:
        """Send and return the result; an unforeseen answer or fault counts as a failed attempt, and not for ever."""
        try:
            return send(payload)
        except UnreachableError:
            raise
        except Exception as error:  # the edge: whatever a peer answers, and whatever a file holds
            return SendResult(DeliveryStatus.RETRY, f"it could not be sent: {cause_or_place(error)}", lost=True)

    def _settle(self, item: OutgoingObject, outcome: SendResult) -> None:
        now = self.now()
        status = outcome.status
        if status is DeliveryStatus.RETRY and item.tries + 1 >= (outcome.tries or self.destination.tries):
            status = DeliveryStatus.DEAD
        noted = f"{outcome.detail}: {outcome.told}" if outcome.told else outcome.detail
        where = self._where(item)
        if status is DeliveryStatus.DELIVERED:
            self._delivered(item, outcome, noted, now)
        elif not self._put_back(item, status, noted, now):
            logger.info("%s was dropped while it was sent: %s", where, outcome.detail)
        elif status is DeliveryStatus.DEAD:
            logger.error("%s is a dead letter after attempt %d: %s", where, item.tries + 1, outcome.detail)
        else:
            wait_s = self._interval(item.tries)
            logger.warning("%s, attempt %d: %s; again in %.0f s", where, item.tries + 1, outcome.detail, wait_s)
        self.metrics.attempts.labels(self.name, status).inc()

    def _put_back(self, item: OutgoingObject, status: DeliveryStatus, noted: str, now: float) -> bool:
        """Note a failed attempt, and return whether the message is there still: a person may have dropped it."""
        with self.spool.study_lock(item.study_instance_uid):
            if not self.outbox.waits(item):
                return False
            if status is DeliveryStatus.DEAD:
                self.outbox.dead.bury(item, noted, now)
            else:
                self.outbox.postpone(item, noted, now, self._interval(item.tries))
            return True

    def _delivered(self, item: OutgoingObject, outcome: SendResult, noted: str, now: float) -> None:
        where = self._where(item)
        with self.spool.study_lock(item.study_instance_uid):  # no older dead letter is requeued in between
            record = self.outbox.delivered(item, noted, now)
            self.outbox.dead.supersede(item, now)
        self.metrics.time_to_delivery.labels(self.name).observe(max(now - record.decided_at, 0.0))
        with about(sent_as=" ".join(record.identity.values())):
            if outcome.warned:
                self.metrics.warnings.labels(self.name).inc()
                logger.warning("%s was delivered, %s", where, outcome.detail)
            else:
                logger.info("%s was delivered: %s", where, outcome.detail, extra={"source": item.study_instance_uid})

    def _where(self, item: OutgoingObject) -> str:
        return f"{self.name}: study {item.study_instance_uid} (revision {item.revision[:8]})"

    def _pause(self, why: str) -> None:
        wait_s = self._interval(self._failures)
        self.outbox.set_pause(self.name, self._failures + 1, self.now() + wait_s, why)
        logger.warning("%s: %s; nothing is sent there for %.0f s", self.name, why, wait_s)

    def _interval(self, before: int) -> float:
        return float(min(self.destination.first_interval_s * 2 ** min(before, 30), self.destination.longest_interval_s))


class _Lane(threading.Thread):
    """One connection's thread. What its work raises is kept, and what is due is handed out no more."""

    def __init__(self, work: Callable[[DueMessages, int], None], due: DueMessages, number: int) -> None:
        super().__init__(name=f"{threading.current_thread().name} {number + 1}", daemon=True)
        self._work, self._due, self._number = work, due, number
        self.error: BaseException | None = None

    def run(self) -> None:
        """Send until nothing more is due."""
        try:
            self._work(self._due, self._number)
        except BaseException as error:  # the edge: raised anew where the thread is joined
            self.error = error
            self._due.stop()


def cause_or_place(error: Exception) -> str:
    """Return why, by the cause of an OSError, or by the place of a fault of ours: its message may name a patient."""
    return cause(error) if isinstance(error, OSError) else where_raised(error)
