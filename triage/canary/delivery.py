"""Delivering canaries: in the destination's own thread, after what is patients', from an outbox of its own."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.spool.spool import Spool

logger = logging.getLogger(__name__)

_LEFT_ALONE_S = 10.0


class CanaryOutbox(Outbox):
    """The canary's outbox. A destination that is switched off or left alone is so for it too, not conversely."""

    def __init__(self, partition: Spool, patients: Outbox) -> None:
        super().__init__(partition)
        self._patients = patients

    def disabled(self, destination: str) -> bool:
        """Whether a person has switched the destination off."""
        return self._patients.disabled(destination)

    def pause(self, destination: str) -> tuple[int, float, str]:
        """The later of the canary's own pause and the patients'."""
        return max(super().pause(destination), self._patients.pause(destination), key=lambda pause: pause[1])


@dataclass
class WithCanary:
    """What the thread of a destination with ``canary = true`` does."""

    patients: Deliverer
    canary: Deliverer
    _left_alone_until: float = 0.0

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.patients.name

    def round(self) -> None:
        """Deliver what is patients', then the canary if there is one."""
        self.patients.round()
        if time.monotonic() < self._left_alone_until:
            return
        try:
            self.canary.round()
        except FileNotFoundError:  # it was given up meanwhile
            return
        except Exception as error:  # the edge: its place may be full or broken, and patients' results are due
            self._left_alone_until = time.monotonic() + _LEFT_ALONE_S
            logger.error("%s: the canary cannot be delivered: %s", self.name, type(error).__name__)
