"""The place of a process of which one at most works: alone on one machine, or the leader among all hosts.

With files a second process is refused. With a store that hosts share, it stands by: started, connected, and ready to
lead as soon as the leader has given its place back, or was silent for longer than its lease (docs/adr/0080).
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from math import inf

from prometheus_client import CollectorRegistry

from triage.errors import EXIT_LEAD_LOST, cause
from triage.metrics.lead import LeadMetrics, while_leading
from triage.runtime.health import Readiness
from triage.runtime.progress import ProgressWatch
from triage.runtime.stop_signal import StopSignal
from triage.service.single_instance import single_instance
from triage.settings.sections.store import StoreSettings
from triage.spool.processes import Lead, LeaseLostError, LedElsewhereError
from triage.spool.store import Store

logger = logging.getLogger(__name__)

LED = ("sweep", "deliver", "reports")
"""Processes of which one leads."""

_LOOKS = 10
"""Times that a standby looks for the leader's place while a lease lasts."""


class Leadership:
    """The place of one process, ``name``: whether it is its own, and what it tells of it."""

    def __init__(
        self,
        name: str,
        store: StoreSettings,
        spool: Store,
        stopping: StopSignal,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._name, self._spool, self._stopping, self._registry = name, spool, stopping, registry
        self._shared = store.kind != "files"
        self._lease_s, self._look_s = store.lease_s, store.lease_s / _LOOKS
        self._uncertain_at = -inf
        self._gives_way = False
        self._standby = ProgressWatch("standing by", 3 * store.lease_s)
        self._lead: Lead | None = None
        self._leader: str | None = None
        self._was_lost = False
        metrics = LeadMetrics(registry)
        metrics.leads.labels(name, socket.gethostname()).set_function(lambda: float(self.leads))

    # What it tells.

    @property
    def leads(self) -> bool:
        """True if this process leads, and no other one can."""
        return not self._shared or (self._lead is not None and self._lead.is_certain)

    @property
    def is_lost(self) -> bool:
        """True if another process has the place that this one held."""
        return self._lead is not None and self._lead.lost

    def ready(self, leading: Readiness) -> tuple[bool, str]:
        """Return whether this process does its work, by ``leading``, or stands by as it should; and words for it."""
        if not self._shared:
            return leading()
        if self._lead is None:
            well, words = self._standby.ready()
            return well, f"{words}: {self._name} of host {self._leader or 'unknown'} leads" if well else words
        if not self._lead.is_certain:
            return False, "its lease has run out, and the database does not renew it: nothing is done meanwhile"
        well, words = leading()
        return well, f"{words}; leads among all hosts"

    def shown(self, withheld: Collection[str]) -> CollectorRegistry:
        """Return the registry to export: without the families ``withheld`` while this process does not lead."""
        return while_leading(self._registry, lambda: self.leads, withheld) if self._shared else self._registry

    # Standing by, and leading.

    def alone_here(self) -> AbstractContextManager[object]:
        """Refuse a second process of one machine. Raises StartError. Of several hosts, each may have one."""
        return nullcontext() if self._shared else single_instance(self._spool, self._name)

    @contextmanager
    def taken(self, meanwhile: Callable[[], object] = lambda: None) -> Iterator[Lead | None]:
        """Wait until this process leads, and hold that place during the block; None if it has to stop before.

        ``meanwhile`` is called at each look of a standby.
        """
        if not self._shared:
            yield _ALONE
            return
        try:
            self._stand_aside()
            with ExitStack() as stack:
                while not self._stopping.received and self._lead is None:
                    self._look(stack)
                    if self._lead is None:
                        meanwhile()
                        self._stopping.wait(self._look_s)
                try:
                    yield self._lead
                except LeaseLostError as error:
                    logger.warning("%s: %s", self._name, error.strerror)
        finally:  # also after an error that is not expected: it can be taken anew
            self._leave()

    @property
    def goes_on(self) -> bool:
        """True until this process has to stop or has lost its place: till then it may lead, or stand by, once more."""
        return not self._stopping.received and not self._was_lost

    def gives_way(self, *work: ProgressWatch, is_of_host: Callable[[], bool] = lambda: True) -> bool:
        """Return True once this process leads and its work has failed at each try for as long as a lease.

        A part of ``work`` is enough where ``is_of_host()`` says that this host lacks what all parts need; else all of
        it has to fail. What it lacks another host may have: end the block of ``taken``, and enter it again to stand by.
        With files there is no other host, and without the database none can lead. What is being tried is no failure,
        however long it takes. Ask again and again; several threads may.
        """
        if not self._shared or self._gives_way:
            return self._gives_way
        if not self.leads:
            self._uncertain_at = self._clock()
        elif self._cannot_work([self._has_failed(each.failures) for each in work], is_of_host):
            logger.warning("%s: cannot work on this host: it stands by, for another one to lead", self._name)
            self._gives_way = True
        return self._gives_way

    def _cannot_work(self, failed: Sequence[bool], is_of_host: Callable[[], bool]) -> bool:
        return any(failed) and (all(failed) or is_of_host())

    def _has_failed(self, failures: tuple[float, float] | None) -> bool:
        if failures is None:
            return False
        first, last = failures
        return last - max(first, self._uncertain_at) >= self._lease_s

    def _stand_aside(self) -> None:
        """Let others take the place that this process has given back: it looks again after a lease."""
        if self._gives_way:
            self._gives_way, self._leader = False, None
            self._standby.made()
            self._stopping.wait(self._lease_s)

    def _leave(self) -> None:
        if self._lead is not None:
            self._was_lost = self._was_lost or self._lead.lost
            self._lead = None
            logger.info("%s: leads no more", self._name)

    def exit_if_lost(self) -> None:
        """End this process by EXIT_LEAD_LOST if another one has its place: to be started again, as a standby."""
        if self._was_lost:
            logger.error(
                "%s: another host leads, as this process was silent for longer than store.lease_s (it stood still, or "
                "was cut off from the database): it ends, and has to be started again to stand by",
                self._name,
            )
            sys.exit(EXIT_LEAD_LOST)

    def _look(self, stack: ExitStack) -> None:
        try:
            self._lead = stack.enter_context(self._spool.workers.lead(self._name))
            logger.info("%s: leads among all hosts from now on", self._name)
        except LedElsewhereError as led:
            self._follow(led.host)
        except OSError as error:
            why = f"the store cannot be asked who leads: {cause(error)}"
            if self._standby.ready() != (False, why):
                logger.warning("%s: %s", self._name, why)
            self._standby.failed(why)

    def _follow(self, leader: str) -> None:
        if leader != self._leader:
            logger.info("%s: stands by, as that of host %s leads", self._name, leader or "unknown")
        self._leader = leader
        self._standby.made()


class _Alone:
    """The place on one machine: nothing takes it."""

    lost, is_certain = False, True

    def keep_until_the_end(self) -> None:
        """Change nothing: there is no other host."""


_ALONE = _Alone()
