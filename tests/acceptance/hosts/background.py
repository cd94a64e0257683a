"""What goes on in threads of its own while a trial lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

_PAUSE_S = 0.5


@dataclass
class Background:
    """Threads from ``begin`` to ``end``, which wait by ``stop``."""

    stop: threading.Event = field(default_factory=threading.Event, init=False)
    threads: list[threading.Thread] = field(default_factory=list, init=False)

    def begin(self, *acts: Callable[[], None]) -> None:
        """Do each in a thread of its own."""
        self.threads = [threading.Thread(target=act) for act in acts]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        """Return once all threads have ended."""
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def repeat(self, act: Callable[[], None], pause_s: float = _PAUSE_S) -> None:
        """Do it again and again until the end, with a pause before each time."""
        while not self.stop.wait(pause_s):
            act()
