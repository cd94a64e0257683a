"""The time between the signal to stop and the end of new work, in which a load balancer turns elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from triage.runtime.stop_signal import StopSignal


@dataclass(frozen=True)
class Drain:
    """New work is taken for ``seconds`` after the signal. May be asked from any thread."""

    stopping: StopSignal
    seconds: float

    @property
    def has_begun(self) -> bool:
        """True from the signal on."""
        return self.stopping.received

    @property
    def is_over(self) -> bool:
        """True once no new work is taken."""
        return self.stopping.received and self.stopping.seconds_ago >= self.seconds
