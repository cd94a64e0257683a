"""Models and settings that decide on all hosts, compared by the sweep that leads."""

from __future__ import annotations

import logging
from collections import Counter

from triage.errors import cause
from triage.metrics.sweep import SweepMetrics
from triage.operations.in_work import Part, at_work, differences, forget_ended
from triage.spool.processes import LeaseLostError
from triage.spool.store import Store

logger = logging.getLogger(__name__)


class HostWatch:
    """The models and settings that decide, which each host has in folders and files of its own."""

    def __init__(self, spool: Store, metrics: SweepMetrics) -> None:
        self._spool, self._metrics = spool, metrics
        self._said: dict[Part, str] = {}

    def look(self) -> None:
        """Export how many differ, and log each part when that changes."""
        try:
            forget_ended(self._spool)
            found = differences(at_work(self._spool))
        except LeaseLostError:
            raise
        except OSError as error:
            logger.warning("sweep: models and settings of the hosts cannot be compared: %s", cause(error))
            return
        counts = Counter(each.part for each in found)
        self._metrics.models_differ.set(counts[Part.MODELS])
        for part in Part:
            self._metrics.rules_differ.labels(part).set(counts[part])
            self._tell(part, "; ".join(str(each) for each in found if each.part is part))

    def _tell(self, part: Part, words: str) -> None:
        if words == self._said.get(part):
            return
        if words:
            logger.warning("%s of hosts: %s: a study's result depends on the host that takes it", part.words, words)
        elif part in self._said:
            logger.info("%s of hosts: the same on all", part.words)
        self._said[part] = words
