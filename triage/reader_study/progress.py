"""The progress of a reader, replayed from the records of his or her steps. Pure.

A record is a JSON object: ``kind`` (answer, undo or looked), ``number`` (place of the case on the screen in the
reader's order, from 0), ``at`` (ISO 8601, UTC), ``active_ms`` and ``elapsed_ms`` since the last record of this visit of
the case, without and with idle time; and ``answer`` for an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from triage.errors import TriageError


class StepKind(StrEnum):
    """Kind of a step."""

    ANSWER = "answer"
    UNDO = "undo"
    LOOKED = "looked"  # only adds time


class ReaderAnswer(StrEnum):
    """Answer of a reader; the page sends ``unreadable`` for an image that cannot be decoded."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    UNREADABLE = "unreadable"

    @property
    def label(self) -> int | None:
        """The label in validation: 1 abnormal, 0 normal, None for none."""
        return {ReaderAnswer.ABNORMAL: 1, ReaderAnswer.NORMAL: 0}.get(self)


class OutOfTurnError(TriageError, ValueError):
    """A step does not follow the last one, perhaps as the study went on in another window: load the page again."""


@dataclass(frozen=True)
class ReaderRecord:
    """One step of a reader; ``at`` is empty until it is recorded, ``answer`` is set for an answer only."""

    kind: StepKind
    number: int
    active_ms: int
    elapsed_ms: int
    answer: ReaderAnswer | None = None
    at: str = ""

    def at_time(self, now: str) -> Self:
        """Return the record with its time."""
        return replace(self, at=now)

    def to_json(self) -> dict[str, object]:
        """Return the record as JSON."""
        content: dict[str, object] = {"kind": self.kind, "number": self.number, "at": self.at}
        content |= {"active_ms": self.active_ms, "elapsed_ms": self.elapsed_ms}
        return content if self.answer is None else {**content, "answer": self.answer}

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Self:
        """Return the record in a JSON object. Raises KeyError, TypeError or ValueError for a damaged one."""
        kind = StepKind(str(content["kind"]))
        number, active_ms, elapsed_ms = (_whole(content[name]) for name in ("number", "active_ms", "elapsed_ms"))
        has_answer = kind is StepKind.ANSWER or "answer" in content
        answer = ReaderAnswer(str(content["answer"])) if has_answer else None
        return cls(kind, number, active_ms, elapsed_ms, answer, str(content["at"]))


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"not a whole number: {value!r}")
    return value


@dataclass
class ReadCase:
    """State of one case of a reader; ``answer`` None until it is answered. Times are sums over all visits."""

    answer: ReaderAnswer | None = None
    answered_at: str = ""
    answers_given: int = 0
    active_ms: int = 0
    elapsed_ms: int = 0


@dataclass
class ReaderProgress:
    """The cases of a reader, by place in the reader's order."""

    total: int
    read: dict[int, ReadCase] = field(default_factory=dict)
    position: int = 0
    """The first case without an answer; ``total`` at the end. Those before it have one."""

    def may_see(self, number: int) -> bool:
        """Return True for answered cases, the current one, and the next one, which the page fetches ahead."""
        return 0 <= number <= min(self.position + 1, self.total - 1)

    def check(self, kind: StepKind, number: int) -> None:
        """Raise OutOfTurnError if a step is not allowed.

        The current case can be answered, and the one before it again. An undo removes the last answer.
        """
        in_turn = {
            StepKind.ANSWER: number in (self.position, self.position - 1) and 0 <= number < self.total,
            StepKind.UNDO: self.position > 0,
            StepKind.LOOKED: 0 <= number <= self.position,
        }
        if not in_turn[kind]:
            raise OutOfTurnError(f"{kind} of case {number + 1} is not possible: {self.position} cases are answered")

    def apply(self, record: ReaderRecord) -> None:
        """Add a record. Raises OutOfTurnError."""
        self.check(record.kind, record.number)
        if record.number < self.total:
            visited = self.read.setdefault(record.number, ReadCase())
            visited.active_ms += record.active_ms
            visited.elapsed_ms += record.elapsed_ms
        if record.kind is StepKind.ANSWER:
            visited.answer = record.answer
            visited.answered_at = record.at
            visited.answers_given += 1
            self.position = record.number + 1
        elif record.kind is StepKind.UNDO:
            self.position -= 1
            self.read[self.position].answer = None


def replay(total: int, records: Iterable[ReaderRecord]) -> ReaderProgress:
    """Return the progress after ``records``. Raises OutOfTurnError."""
    progress = ReaderProgress(total)
    for record in records:
        progress.apply(record)
    return progress
