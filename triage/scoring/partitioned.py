"""Where work lies: the patients' spool, and places beside it, whose trouble is nobody else's.

A partition is a spool of its own in the folder of the patients' spool; the queue has its name
(``PartitionedInstance``).
What lies there shares batches, decoders and models with patients' objects, and comes after them. Whatever is raised
there, by a disk or a defect, fails what lies there; what is raised of patients' is the whole worker's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from triage.queue.score_queue import PartitionedInstance
from triage.runtime.turns import Turn
from triage.scoring.batch import BatchScorer, Opened

logger = logging.getLogger(__name__)

Started = list[tuple[PartitionedInstance, Turn[Opened]]]
Failures = dict[PartitionedInstance, str]
"""What failed, and why, naming no patient."""


@dataclass(frozen=True)
class PartitionedScorer:
    """What scores the patients' objects, and what scores those ``partitions`` them, by their partition's name."""

    patients: BatchScorer
    partitions: Mapping[str, BatchScorer] = field(default_factory=dict)

    def know(self, work: PartitionedInstance) -> bool:
        """Whether anything is scored in the work's partition."""
        return work.partition in self._scorers()

    def start(self, works: Sequence[PartitionedInstance]) -> tuple[Started, Failures]:
        """Begin to decode, patients' first; returns at once. Work of which nothing is left to do is in neither."""
        started: Started = []
        failed: Failures = {}
        for partition, scorer in self._scorers().items():
            own = [work for work in works if work.partition == partition]
            with _apart(own, failed):
                begun = scorer.start([work.instance for work in own])
                started += [(PartitionedInstance(partition, instance), decoding) for instance, decoding in begun]
        return started, failed

    def finish(self, started: Started) -> Iterator[tuple[list[PartitionedInstance], Failures]]:
        """Score what was started, and yield each partition's failures; patients' objects first."""
        for partition in self._scorers():
            own = [each for each in started if each[0].partition == partition]
            if own:
                yield [work for work, _ in own], self._finish(partition, own)

    def give_up(self, work: PartitionedInstance, error: str, tries: int) -> None:
        """Make the work's object a dead letter of its partition."""
        failed: Failures = {}
        with _apart([work], failed):
            self._scorers()[work.partition].give_up(work.instance, error, tries)
        for why in failed.values():
            logger.error("%s cannot be given up: %s", work.key, why)

    def _finish(self, partition: str, started: Started) -> Failures:
        """Together; in a partition, where that raises, one by one, so that what can be done is."""
        works, failed = [work for work, _ in started], Failures()
        with _apart(works, failed):
            done = self._scorers()[partition].finish([(work.instance, decoding) for work, decoding in started])
            return {PartitionedInstance(partition, each.instance): each.error for each in done}
        if len(works) == 1:
            return failed
        return {work: why for each in started for work, why in self._finish(partition, [each]).items()}

    def _scorers(self) -> dict[str, BatchScorer]:
        return {"": self.patients, **self.partitions}


@contextmanager
def _apart(works: Sequence[PartitionedInstance], failed: Failures) -> Iterator[None]:
    """Let trouble with patients' work pass, and note all other in ``failed``. ``works`` are of one partition."""
    try:
        yield
    except (
        Exception
    ) as error:  # the edge: a partition may be gone, full or broken; if it is Redis, the worker will notice
        if not works or not works[0].partition:
            raise
        failed.update((work, _in_words(error)) for work in works)


def _in_words(error: Exception) -> str:
    said = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
