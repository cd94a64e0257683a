"""Workitems of ours at a foreign UPS manager: which were completed or claimed, asked for by N-GET under UPS Pull.

What is asked about is read from the receipts of the studies that are listed: nothing is remembered between two polls.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from redis.exceptions import RedisError

from triage.channels import c_store_scu as dicom_store
from triage.channels.remote_ae import remote_ae_of
from triage.channels.ups.channel import UPS_PULL, has_changed, read_workitem
from triage.channels.ups.settings import UPSDestination
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryRecord, DeliveryState
from triage.dicom.attribute_text import text_of
from triage.dicom.requestor import RemoteAE
from triage.errors import UnreachableError, cause
from triage.metrics.reports import ReportMetrics
from triage.runtime.logs import where_raised
from triage.spool.clock import time_of
from triage.spool.errors import LockedError
from triage.spool.store import Store
from triage.spool.study_errors import is_of_one_study
from triage.worklist import reader_acts as reading
from triage.worklist.claim_attributes import station
from triage.worklist.reader_acts import Act, NotTaggedError, ReadNotice
from triage.worklist.site_claims import SiteClaim, end_site_claim, note_site_claim, valid_until
from triage.worklist.workitem_performer import PERFORMED, ended_at, performer
from triage.worklist.workitem_state import COMPLETED, IN_PROGRESS
from triage.worklist.worklist import Worklist

logger = logging.getLogger(__name__)

_ASKED_FOR = ("ProcedureStepState", PERFORMED)
_AHEAD_S = 24 * 3600.0


@dataclass(frozen=True)
class Watcher:
    """Polls one UPS manager every ``every_s`` seconds for completed workitems, and for those in progress.

    ``now`` is the clock, in POSIX seconds.
    """

    name: str
    peer: RemoteAE
    spool: Store
    index: Worklist
    metrics: ReportMetrics
    stopping: Callable[[], bool] = lambda: False
    now: Callable[[], float] = time.time
    every_s: float = 0.0

    def poll(self) -> int:
        """Take the studies of completed workitems off the list and return their number; note who holds others.

        Raises:
            UnreachableError: the manager accepts no connection.
            RedisError: the worklist does not answer.
        """
        open_now = list(self._open())
        if not open_now or Outbox(self.spool).disabled(self.name):
            return 0
        count = 0
        claims: dict[str, SiteClaim | None] = {}
        with dicom_store.associated(self.peer, (UPS_PULL,)) as association:
            for study, workitem, told_at in open_now:
                if self.stopping():
                    break
                found = read_workitem(association, workitem, _ASKED_FOR)
                state = "" if found is None else text_of(found, "ProcedureStepState")
                if found is not None and state == COMPLETED:
                    count += self._completed_unless_held(study, workitem, found, told_at)
                claims.setdefault(study, None)
                if found is not None and state == IN_PROGRESS:
                    claims[study] = self._claim(workitem, found)
        for study, claim in claims.items():
            self._note(study, claim)
        return count

    def run(self, wait: Callable[[float], None]) -> None:
        """Poll until ``stopping()``."""
        while not self.stopping():
            outcome = "failed"
            try:
                self.poll()
                outcome = "ok"
            except UnreachableError as error:
                logger.warning("%s was not polled for completed workitems: %s", self.name, error)
            except RedisError as error:
                logger.error("Redis: %s; trying again", error)
            except Exception as error:  # the edge: a full disk, or a fault of ours; the next poll comes
                logger.error("%s: %s; trying again", self.name, cause(error))
            self.metrics.workitem_looks.labels(self.name, outcome).inc()
            wait(self.every_s)

    def _open(self) -> Iterator[tuple[str, str, float]]:
        """Yield the delivered workitems of listed studies that were not seen completed before.

        Each with its study, and when its last change was built, in POSIX seconds. A study whose records cannot be read
        keeps no other from being asked about.
        """
        for study in self.index.arrived_before(self.now() + _AHEAD_S):
            try:
                found = self._open_of(study)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                logger.error("%s: the records of study %s cannot be read: %s", self.name, study, where_raised(error))
            except OSError as error:
                if not is_of_one_study(error, self.spool):
                    raise
                logger.error("%s: the records of study %s cannot be read: %s", self.name, study, cause(error))
            else:
                yield from found

    def _open_of(self, study: str) -> list[tuple[str, str, float]]:
        records = Outbox(self.spool).records(study, self.name)
        delivered = [each for each in records if each.state is DeliveryState.DELIVERED]
        if not delivered:
            return []
        noted = {step.source for step in reading.acts_of(self.spool, study)}
        workitems = (each for each in delivered[-1].identity["workitems"].split() if each not in noted)
        return [(study, each, _told_at(delivered, each)) for each in workitems]

    def _claim(self, workitem: str, found: Dataset) -> SiteClaim:
        by, now = station(found) or performer(found), self.now()
        return SiteClaim(self.name, workitem, by, now, valid_until(now, self.every_s))

    def _note(self, study: str, claim: SiteClaim | None) -> None:
        """Keep who holds a study at this manager, and tell open pages where that has changed."""
        if claim is None:
            changed = end_site_claim(self.spool, study, self.name, self.now())
        else:
            changed = note_site_claim(self.spool, study, claim, self.now())
        if changed:
            self.index.touch(study)

    def _completed_unless_held(self, study: str, workitem: str, found: Dataset, told_at: float) -> bool:
        try:
            return self._completed(study, workitem, found, told_at)
        except LockedError as error:  # asked about again at the next poll
            logger.warning("%s: the workitem of study %s was completed, and waits: %s", self.name, study, cause(error))
            return False

    def _completed(self, study: str, workitem: str, found: Dataset, told_at: float) -> bool:
        # Without a time: a late image may have come between the end and our poll, and is unread.
        at = min(ended_at(found) or told_at, time_of(self.spool, self.now))
        said = ReadNotice(at, performer(found) or self.name, reading.Via.UPS, workitem)
        try:
            step, new = reading.record_notice(self.spool, self.index, study, said)
        except NotTaggedError:  # retention removed it meanwhile
            return False
        if new:
            self.metrics.workitems_completed.labels(self.name).inc()
            logger.info("%s: the workitem of study %s was completed: %s", self.name, study, step.act)
        return new and step.act is Act.READ


def _told_at(delivered: Sequence[DeliveryRecord], workitem: str) -> float:
    """Return when the last result was built for which this workitem was made or changed, in POSIX seconds."""
    of_it = [
        each.built_at
        for each in delivered
        if (workitems := each.identity["workitems"].split())[0] == workitem
        or (workitem in workitems and has_changed(each.tries[-1]["detail"]))
    ]
    return max(of_it, default=0.0)


def watchers_of(
    destinations: Sequence[UPSDestination],
    spool: Store,
    index: Worklist,
    metrics: ReportMetrics,
    stopping: Callable[[], bool],
    wait: Callable[[float], None],
) -> list[Callable[[], None]]:
    """Return a function for each UPS manager that the settings have polled."""
    watched = [each for each in destinations if each.enabled and each.look_s]
    return [_watching(each, spool, index, metrics, stopping, wait) for each in watched]


def _watching(
    destination: UPSDestination,
    spool: Store,
    index: Worklist,
    metrics: ReportMetrics,
    stopping: Callable[[], bool],
    wait: Callable[[float], None],
) -> Callable[[], None]:
    metrics.workitems_completed.labels(destination.name)
    for outcome in ("ok", "failed"):
        metrics.workitem_looks.labels(destination.name, outcome)
    peer, every_s = remote_ae_of(destination), destination.look_s
    watcher = Watcher(destination.name, peer, spool, index, metrics, stopping, every_s=every_s)
    return lambda: watcher.run(wait)
