"""The partitions of the spool and the scorer of each. Trouble in a partition does not affect patients' objects.

A partition is a spool of its own in the folder of the patients' spool; the queue names it (``PartitionedInstance``).
Its objects share batches, decoders and models with patients' objects, and come after them. An error in a partition, of
a disk or a defect, fails the objects of that partition; an error with patients' objects is the whole worker's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from triage.errors import cause
from triage.queue.score_queue import Delay, PartitionedInstance
from triage.runtime.decode_scheduler import ScheduledDecode
from triage.scoring.batch import BatchScorer, FailedInstance, OpenedFile, ScoredFiles

logger = logging.getLogger(__name__)

Started = list[tuple[PartitionedInstance, ScheduledDecode[OpenedFile]]]
Failures = dict[PartitionedInstance, FailedInstance]


@dataclass
class ScoredPartition:
    """Started objects of one partition, and what was found; ``files`` is None where scoring them together failed."""

    partition: str
    started: Started
    files: ScoredFiles | None = None


@dataclass(frozen=True)
class PartitionedScorer:
    """The scorer of the patients' objects, and those of the ``partitions`` by name."""

    patients: BatchScorer
    partitions: Mapping[str, BatchScorer] = field(default_factory=dict)

    def has_partition_of(self, work: PartitionedInstance) -> bool:
        """Return True if objects of the partition of ``work`` are scored here."""
        return work.partition in self._scorers()

    def gives_objects(self) -> bool:
        """Return whether the place of all objects answers."""
        return self.patients.gives_objects()

    def start(self, works: Sequence[PartitionedInstance]) -> tuple[Started, Failures]:
        """Begin to decode, patients' objects first; returns at once. Finished objects are in neither result."""
        started: Started = []
        failed: Failures = {}
        for partition, scorer in self._scorers().items():
            own = [work for work in works if work.partition == partition]
            with _isolated(own, failed):
                begun = scorer.start([work.instance for work in own])
                started += [(PartitionedInstance(partition, instance), decode) for instance, decode in begun]
        return started, failed

    def score(self, started: Started) -> list[ScoredPartition]:
        """Score the started objects, patients' first; nothing is written before ``settle``."""
        scored: list[ScoredPartition] = []
        for partition, scorer in self._scorers().items():
            if own := [each for each in started if each[0].partition == partition]:
                scored.append(ScoredPartition(partition, own))
                with _isolated([work for work, _ in own], {}):
                    scored[-1].files = scorer.score([(work.instance, decode) for work, decode in own])
        return scored

    def settle(self, scored: Iterable[ScoredPartition]) -> Iterator[tuple[list[PartitionedInstance], Failures]]:
        """Write what was scored, and yield the objects and failures of each partition, patients' first."""
        for each in scored:
            yield [work for work, _ in each.started], self._settle(each)

    def finish(self, started: Started) -> Iterator[tuple[list[PartitionedInstance], Failures]]:
        """Score the started objects and write what was found; yields as ``settle``."""
        yield from self.settle(self.score(started))

    def give_up(self, work: PartitionedInstance, error: str, tries: int) -> FailedInstance | None:
        """Make an object a dead letter of its partition; return it where its study cannot be decided: it waits."""
        failed: Failures = {}
        with _isolated([work], failed):
            return self._scorers()[work.partition].give_up(work.instance, error, tries)
        return replace(failed[work], delay=Delay.UNDECIDED)

    def _settle(self, scored: ScoredPartition) -> Failures:
        """Write all together or, where that or their scores failed, score and write one by one: others are finished."""
        works, failed = [work for work, _ in scored.started], Failures()
        with _isolated(works, failed):
            scorer = self._scorers()[scored.partition]
            files = scored.files or scorer.score([(work.instance, decode) for work, decode in scored.started])
            return {PartitionedInstance(scored.partition, each.instance): each for each in scorer.settle(files)}
        if len(works) == 1:
            return failed
        alone = [ScoredPartition(scored.partition, [each]) for each in scored.started]
        return {work: failure for each in alone for work, failure in self._settle(each).items()}

    def _scorers(self) -> dict[str, BatchScorer]:
        return {"": self.patients, **self.partitions}


@contextmanager
def _isolated(works: Sequence[PartitionedInstance], failed: Failures) -> Iterator[None]:
    """Raise an error with patients' work, and record every other one in ``failed``. ``works`` are of one partition."""
    try:
        yield
    except Exception as error:  # the edge: a partition may be gone, full or broken; the worker notices Redis itself
        if not works or not works[0].partition:
            raise
        failed.update((work, FailedInstance(work.instance, _described(error))) for work in works)


def _described(error: Exception) -> str:
    name, text = type(error).__name__, cause(error)
    return name if text == name else f"{name}: {text}"
