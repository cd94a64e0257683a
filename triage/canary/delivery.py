"""Delivery of canaries: in the thread of the destination, after patients' results, from an outbox of their own."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.errors import cause
from triage.spool.store import Store

logger = logging.getLogger(__name__)

_PAUSE_AFTER_ERROR_S = 10.0


class CanaryOutbox(Outbox):
    """The outbox of canaries. Switches and pauses of the patients' outbox hold here too, but not vice versa."""

    def __init__(self, partition: Store, patients: Outbox) -> None:
        super().__init__(partition)
        self._patients = patients

    def disabled(self, destination: str) -> bool:
        """Return whether a person has switched the destination off."""
        return self._patients.disabled(destination)

    def pause(self, destination: str) -> tuple[int, float, str]:
        """Return the later of the canary's own pause and the patients'."""
        return max(super().pause(destination), self._patients.pause(destination), key=lambda pause: pause[1])


@dataclass
class DeliveryWithCanary:
    """The loop of a destination with ``canary = true``: patients' results first, then the canary."""

    patients: Deliverer
    canary: Deliverer
    _paused_until: float = 0.0

    @property
    def name(self) -> str:
        """Name of the destination."""
        return self.patients.name

    def round(self) -> None:
        """Deliver patients' results, then the canary if there is one."""
        self.patients.round()
        if time.monotonic() < self._paused_until:
            return
        try:
            self.canary.round()
        except FileNotFoundError:  # the canary was removed meanwhile
            return
        except Exception as error:  # the edge: its partition may be full or broken, and patients' results are due
            self._paused_until = time.monotonic() + _PAUSE_AFTER_ERROR_S
            logger.error("%s: the canary cannot be delivered: %s", self.name, cause(error))
