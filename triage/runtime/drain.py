"""The time between the signal to stop and the end of new work, in which a load balancer turns elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass

from triage.runtime.stop_signal import StopSignal


@dataclass
class Drain:
    """New work is taken for ``seconds`` after the signal. ``is_over`` is polled, by one thread."""

    stopping: StopSignal
    seconds: float
    _begun_at: float | None = None

    @property
    def has_begun(self) -> bool:
        """True from the signal on."""
        return self.stopping.received

    @property
    def is_over(self) -> bool:
        """True once no new work is taken."""
        if not self.stopping.received:
            return False
        if self._begun_at is None:
            self._begun_at = time.monotonic()
        return time.monotonic() - self._begun_at >= self.seconds
