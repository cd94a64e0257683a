"""The sources of the API: spool, Redis, worklist index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from redis import Redis

from triage.runtime.release import UNKNOWN, Running
from triage.spool.spool import Spool
from triage.web.api.images import PictureCache
from triage.web.api.patient_index import PatientIndex
from triage.worklist.index import Worklist


@dataclass(frozen=True)
class Sources:
    """Sources of all responses.

    ``now`` returns POSIX seconds. ``waiting_cap_s`` limits the waiting time in seconds, 0 for no limit. ``maps``:
    activation maps are shown.
    """

    spool: Spool
    redis: Redis
    worklist: Worklist
    waiting_cap_s: float
    now: Callable[[], float]
    maps: bool = False
    running: Running = UNKNOWN
    pictures: PictureCache = field(default_factory=PictureCache)

    @cached_property
    def patients(self) -> PatientIndex:
        """The index of patients."""
        return PatientIndex(self.spool, self.worklist)
