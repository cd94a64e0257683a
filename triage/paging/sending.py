"""The sending of one page by the routes of a rota, each on its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from triage.metrics.paging import PagingMetrics
from triage.paging.event import PagingEvent
from triage.paging.message import Page
from triage.paging.route import NotTakenError, Route, Taken
from triage.paging.route_pauses import RoutePauses
from triage.paging.watched_studies import WatchedStudies
from triage.runtime.logs import where_raised

logger = logging.getLogger(__name__)


@dataclass
class Sending:
    """Sends pages. ``routes`` are those of each rota by its name; ``now`` is the clock, in POSIX seconds.

    ``why``: the last error. ``refused``: addresses that the mail server refused last.
    """

    routes: Mapping[str, Sequence[Route]]
    watched: WatchedStudies
    metrics: PagingMetrics
    now: Callable[[], float]
    why: str = ""
    refused: int = 0
    _pauses: RoutePauses = field(init=False)

    def __post_init__(self) -> None:
        """Export each counter from the start, so that its first event is an increase."""
        self._pauses = RoutePauses(self.now)
        for rota, routes in self.routes.items():
            self.metrics.pages.labels(rota)
            for route in routes:
                for outcome in ("taken", "failed"):
                    self.metrics.attempts.labels(route.name, outcome)

    def send(self, event: PagingEvent, rota: str, page: Callable[[bool], Page]) -> PagingEvent:
        """Send the pending page of an event by each route that has not taken it, and return the event afterwards.

        ``page`` makes its words, for True those of a page that was tried before.
        """
        for route in self.routes[rota]:
            if event.pending and route.name not in event.pending.taken and self._pauses.is_open(rota, route.name):
                event = self._attempt(event, route, rota, page)
        return event

    def has_arrived(self, event: PagingEvent, rota: str) -> bool:
        """Return True if the pending page has arrived: at every route of the rota, or at one of the former rota."""
        if event.pending is None or not event.pending.taken:
            return False
        return event.pending.rota != rota or all(each.name in event.pending.taken for each in self.routes[rota])

    def _attempt(self, event: PagingEvent, route: Route, rota: str, page: Callable[[bool], Page]) -> PagingEvent:
        pending, uid = event.pending, event.study_instance_uid
        assert pending is not None
        before = pending.tries.get(route.name, 0)
        pending = replace(pending, tries={**pending.tries, route.name: before + 1})
        event = replace(event, pending=pending)
        self.watched.save(event)  # before the attempt: what is sent and not noted is known as tried
        try:
            taken = route.send(page(before > 0))
        except NotTakenError as error:
            self._failed(route, rota, uid, str(error))
            return event
        except Exception as error:  # the edge: whatever a peer answers
            self._failed(route, rota, uid, where_raised(error))
            return event
        self._worked(route, rota, uid, taken)
        event = replace(event, pending=replace(pending, rota=rota, taken={**pending.taken, route.name: self.now()}))
        self.watched.save(event)
        return event

    def _worked(self, route: Route, rota: str, uid: str, taken: Taken) -> None:
        self._pauses.worked(rota, route.name)
        self.metrics.attempts.labels(route.name, "taken").inc()
        logger.info("paging: the %s of the rota %s took the page of study %s", route.name, rota, uid)
        if taken.refused != self.refused and taken.refused:
            logger.error("paging: the mail server refuses %d addresses of the rota: correct them", taken.refused)
        if route.name == "mail":
            self.refused = taken.refused

    def _failed(self, route: Route, rota: str, uid: str, why: str) -> None:
        wait_s = self._pauses.failed(rota, route.name)
        self.why = why
        self.metrics.attempts.labels(route.name, "failed").inc()
        logger.error("paging: the page of study %s was not taken: %s; again in %.0f s", uid, why, wait_s)
