"""Models and settings that decide on all hosts, compared by the sweep that leads."""

from __future__ import annotations

import logging

from triage.errors import cause
from triage.metrics.sweep import SweepMetrics
from triage.operations.in_work import ComparedPart, Part, at_work, compared, forget_ended
from triage.spool.processes import LeaseLostError
from triage.spool.store import Store

logger = logging.getLogger(__name__)


class HostWatch:
    """The models and settings that decide, which each host has in folders and files of its own."""

    def __init__(self, spool: Store, metrics: SweepMetrics) -> None:
        self._spool, self._metrics = spool, metrics
        self._said: dict[Part, ComparedPart] = {}

    def look(self) -> None:
        """Export how many differ, and log each part when that changes."""
        try:
            forget_ended(self._spool)
            found = compared(at_work(self._spool))
        except LeaseLostError:
            raise
        except OSError as error:
            logger.warning("sweep: models and settings of the hosts cannot be compared: %s", cause(error))
            return
        for each in found:
            if each.part is Part.MODELS:
                self._metrics.models_differ.set(len(each.differences))
            self._metrics.rules_differ.labels(each.part).set(len(each.differences))
            self._tell(each)

    def _tell(self, now: ComparedPart) -> None:
        before = self._said.get(now.part)
        if before is not None and now.words == before.words:
            return
        words = "; ".join(now.words)
        if now.differences:
            logger.warning("%s of hosts: %s: a study's result depends on the host that takes it", now.part.words, words)
        elif before is not None:
            logger.info("%s of hosts: %s", now.part.words, words)
        self._said[now.part] = now
