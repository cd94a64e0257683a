"""What the API reads from: spool, Redis, worklist index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from redis import Redis

from triage.runtime.release import UNKNOWN, Running
from triage.spool.spool import Spool
from triage.web.api.images import Pictures
from triage.web.api.patient_index import PatientIndex
from triage.worklist.index import Worklist


@dataclass(frozen=True)
class Sources:
    """Where answers come from. ``now`` gives POSIX seconds; a ``waiting_cap_s`` of 0 is no cap; ``maps``: show them."""

    spool: Spool
    redis: Redis
    worklist: Worklist
    waiting_cap_s: float
    now: Callable[[], float]
    maps: bool = False
    running: Running = UNKNOWN
    pictures: Pictures = field(default_factory=Pictures)

    @cached_property
    def patients(self) -> PatientIndex:
        """Who the listed studies are of."""
        return PatientIndex(self.spool, self.worklist)
