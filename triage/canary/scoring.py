"""What a worker does with a batch that may hold a canary: it is scored like a patient's object, apart from them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from triage.canary.namespace import expects
from triage.decoding import Decoding
from triage.scoring import Failed, Opened, Scoring
from triage.spool import ReceivedInstance, Spool

logger = logging.getLogger(__name__)

_Started = Sequence[tuple[ReceivedInstance, Decoding[Opened]]]


@dataclass
class WithCanary:
    """The scorer of the patients' spool and, on the same sessions and decoders, that of the canary's ``namespace``.

    No trouble with a canary costs a patient anything: it fails alone, and is tried again like any object.
    """

    patients: Scoring
    canary: Scoring
    namespace: Spool
    _flying: set[ReceivedInstance] = field(default_factory=set)

    def start(self, instances: Iterable[ReceivedInstance]) -> list[tuple[ReceivedInstance, Decoding[Opened]]]:
        """Begin to decode; returns at once."""
        all_of = list(instances)
        canaries = [instance for instance in all_of if expects(self.namespace, instance)]
        started = self.canary.start(canaries)
        # Remembered, not asked again: what began as a canary must never end among patients.
        self._flying.update(instance for instance, _ in started)
        return [*self.patients.start([each for each in all_of if each not in canaries]), *started]

    def finish(self, started: _Started) -> list[Failed]:
        """Score what was started, patients first."""
        canaries = [each for each in started if each[0] in self._flying]
        patients = [each for each in started if each[0] not in self._flying]
        self._flying.difference_update(instance for instance, _ in canaries)
        failed = self.patients.finish(patients)
        return [*failed, *self._finish(canaries)] if canaries else failed

    def give_up(self, instance: ReceivedInstance, error: str, tries: int) -> None:
        """Make an object a dead letter."""
        if not expects(self.namespace, instance):
            self.patients.give_up(instance, error, tries)
            return
        try:
            self.canary.give_up(instance, error, tries)
        except Exception as trouble:  # the edge: it may be removed at any moment
            logger.warning("the canary %s: %s", instance.study_instance_uid, type(trouble).__name__)

    def _finish(self, canaries: _Started) -> list[Failed]:
        try:
            return self.canary.finish(canaries)
        except (
            Exception
        ) as trouble:  # the edge: it may be removed at any moment; if it is Redis, the worker will notice
            return [Failed(instance, type(trouble).__name__) for instance, _ in canaries]
