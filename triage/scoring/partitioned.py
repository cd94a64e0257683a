"""Where work lies: the patients' spool, and places beside it, whose trouble is nobody else's.

A place is a spool of its own in the folder of the patients', by the name that the queue has for it (``queueing.Work``).
What lies there shares batches, decoders and models with patients' objects, and comes after them. Whatever is raised
there, by a disk or a defect, fails what lies there; what is raised of patients' is the whole worker's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from triage.queue.score_queue import Work
from triage.runtime.turns import Turn
from triage.scoring.batch import Opened, Scorer

logger = logging.getLogger(__name__)

Started = list[tuple[Work, Turn[Opened]]]
Failures = dict[Work, str]
"""What failed, and why, naming no patient."""


@dataclass(frozen=True)
class Places:
    """What scores the patients' objects, and what scores those ``beside`` them, by their place's name."""

    patients: Scorer
    beside: Mapping[str, Scorer] = field(default_factory=dict)

    def know(self, work: Work) -> bool:
        """Whether anything is scored in the work's place."""
        return work.place in self._scorers()

    def start(self, works: Sequence[Work]) -> tuple[Started, Failures]:
        """Begin to decode, patients' first; returns at once. Work of which nothing is left to do is in neither."""
        started: Started = []
        failed: Failures = {}
        for place, scorer in self._scorers().items():
            own = [work for work in works if work.place == place]
            with _apart(own, failed):
                begun = scorer.start([work.instance for work in own])
                started += [(Work(place, instance), decoding) for instance, decoding in begun]
        return started, failed

    def finish(self, started: Started) -> Iterator[tuple[list[Work], Failures]]:
        """Score what was started, and say of each place's work what failed; the patients' before any other is begun."""
        for place in self._scorers():
            own = [each for each in started if each[0].place == place]
            if own:
                yield [work for work, _ in own], self._finish(place, own)

    def give_up(self, work: Work, error: str, tries: int) -> None:
        """Make the work's object a dead letter of its place."""
        failed: Failures = {}
        with _apart([work], failed):
            self._scorers()[work.place].give_up(work.instance, error, tries)
        for why in failed.values():
            logger.error("%s cannot be given up: %s", work.key, why)

    def _finish(self, place: str, started: Started) -> Failures:
        """Together; in a place beside, where that raises, one by one, so that what can be done is."""
        works, failed = [work for work, _ in started], Failures()
        with _apart(works, failed):
            done = self._scorers()[place].finish([(work.instance, decoding) for work, decoding in started])
            return {Work(place, each.instance): each.error for each in done}
        if len(works) == 1:
            return failed
        return {work: why for each in started for work, why in self._finish(place, [each]).items()}

    def _scorers(self) -> dict[str, Scorer]:
        return {"": self.patients, **self.beside}


@contextmanager
def _apart(works: Sequence[Work], failed: Failures) -> Iterator[None]:
    """Let trouble with patients' work pass, and note all other in ``failed``. ``works`` are of one place."""
    try:
        yield
    except Exception as error:  # the edge: a place may be gone, full or broken; if it is Redis, the worker will notice
        if not works or not works[0].place:
            raise
        failed.update((work, _in_words(error)) for work in works)


def _in_words(error: Exception) -> str:
    said = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
