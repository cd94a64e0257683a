"""The sources of the API: spool, Redis, worklist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from redis import Redis
from redis.exceptions import RedisError

from triage.adjudication.rules import AdjudicationRules
from triage.model.card_library import CardLibrary
from triage.runtime.release import UNKNOWN, Running
from triage.spool.store import Store
from triage.web.api.images import PictureCache
from triage.web.api.site_links import SiteLinks
from triage.worklist.opening import patients_of, query_of
from triage.worklist.patient_studies import Bearers
from triage.worklist.presence import Presence
from triage.worklist.query import WorklistQuery
from triage.worklist.workitem_store import Workitems
from triage.worklist.worklist import Worklist


@dataclass(frozen=True)
class Sources:
    """Sources of all responses.

    ``now`` returns POSIX seconds. ``waiting_cap_s`` limits the waiting time in seconds, 0 for no limit. ``maps``:
    activation maps are shown. ``links``: the site's viewer and RIS. ``paging``: the rota is paged. ``patient_names``:
    patients' names are sent to the page. ``workitems``: those that are served, None where they are switched off.
    ``cards``: of the installed models. ``adjudication``: rules of the page of cases. ``language``: of the pages, for
    users who have chosen none; ``auto`` for that of their browser.
    """

    spool: Store
    redis: Redis
    worklist: Worklist
    waiting_cap_s: float
    now: Callable[[], float]
    maps: bool = False
    running: Running = UNKNOWN
    links: SiteLinks = field(default_factory=SiteLinks)
    paging: bool = False
    pictures: PictureCache = field(default_factory=PictureCache)
    patient_names: bool = True
    workitems: Workitems | None = None
    cards: CardLibrary = field(default_factory=CardLibrary)
    adjudication: AdjudicationRules = field(default_factory=AdjudicationRules)
    language: str = "auto"

    @cached_property
    def patients(self) -> Bearers:
        """The studies of the spool by patient."""
        return patients_of(self.spool)

    @cached_property
    def query(self) -> WorklistQuery:
        """The list, with the patients of its studies."""
        return query_of(self.worklist, self.spool, self.waiting_cap_s)

    @cached_property
    def presence(self) -> Presence:
        """The studies that are open on pages now."""
        return Presence(self.redis)

    def redis_answers(self) -> bool:
        """Return True if Redis answers now."""
        try:
            return bool(self.redis.ping())
        except RedisError:
            return False
