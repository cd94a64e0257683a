"""What a reading room may do with a tag: the policies that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from math import inf
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from triage.decision.types import Tag
from triage.setting_types import Section
from triage.simulation.queues import Discipline

Codes = npt.NDArray[np.int8]


class TagCode(IntEnum):
    """Tags as small numbers, for arrays."""

    ABNORMAL = 0
    NOT_ASSESSED = 1
    NORMAL = 2

    @property
    def tag(self) -> Tag:
        """The tag itself."""
        return Tag[self.name]


_LEVEL: Mapping[str, tuple[int, int, int]] = {
    # Of ABNORMAL, NOT_ASSESSED and NORMAL; 0 is read first.
    "fifo": (0, 0, 0),
    "priority": (0, 1, 1),
    "normals last": (0, 1, 2),
}


class Policy(Section):
    """The order of reading: ``fifo`` by arrival; ``priority`` ABNORMAL first; ``normals last`` NORMAL also last."""

    name: str = Field(min_length=1, max_length=40)
    order: Literal["fifo", "priority", "normals last"] = "priority"
    preemptive: bool = False
    cap_minutes: float | None = Field(None, gt=0)

    def levels_of(self, tags: Codes) -> Codes:
        """The priority of studies with these tags (``TagCode``), 0 first."""
        return np.asarray(_LEVEL[self.order], dtype=np.int8)[tags]

    @property
    def discipline(self) -> Discipline:
        """What the queue does with those priorities."""
        cap = inf if self.cap_minutes is None else self.cap_minutes
        return Discipline(levels=max(_LEVEL[self.order]) + 1, cap=cap, preemptive=self.preemptive)


FIFO = Policy(name="FIFO", order="fifo")
"""What every policy is compared with."""
