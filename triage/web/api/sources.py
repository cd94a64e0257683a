"""The sources of the API: spool, Redis, worklist index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from redis import Redis

from triage.adjudication.rules import AdjudicationRules
from triage.model.card_library import CardLibrary
from triage.runtime.release import UNKNOWN, Running
from triage.spool.store import Store
from triage.web.api.images import PictureCache
from triage.web.api.site_links import SiteLinks
from triage.worklist.index import Worklist
from triage.worklist.indexed_query import IndexedQuery
from triage.worklist.patient_index import PatientIndex
from triage.worklist.presence import Presence
from triage.worklist.workitem_store import Workitems


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
    def patients(self) -> PatientIndex:
        """The studies of the spool by patient."""
        return PatientIndex(self.spool)

    @cached_property
    def query(self) -> IndexedQuery:
        """The list, with the patients of its studies."""
        return IndexedQuery(self.worklist, self.spool, self.waiting_cap_s)

    @cached_property
    def presence(self) -> Presence:
        """The studies that are open on pages now."""
        return Presence(self.redis)
