"""What a reader did, replayed from its records; and which next step is one. PURE.

A record is a JSON object: ``kind`` (answer, undo or looked), ``number`` (the place of the case that was on the screen,
in the reader's order, from 0), ``at`` (ISO 8601, UTC), ``active_ms`` and ``elapsed_ms`` since the last record of this
visit of the case, without and with idle time; and ``answer`` for an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ReaderAnswer(StrEnum):
    """What a reader may say of a case; ``unreadable`` is said by the page, of an image that cannot be decoded."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    UNREADABLE = "unreadable"

    @property
    def label(self) -> int | None:
        """As validation has it: 1 abnormal, 0 normal."""
        return {ReaderAnswer.ABNORMAL: 1, ReaderAnswer.NORMAL: 0}.get(self)


class OutOfTurnError(ValueError):
    """A step that is not the reader's next: the page is behind, perhaps because another one went on."""


@dataclass
class ReadCase:
    """What is known of one case of one reader; ``answer`` None until it is answered. Times are sums over all visits."""

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
        """Cases that are done, the one at hand, and the one after it, for the page to fetch ahead."""
        return 0 <= number <= min(self.position + 1, self.total - 1)

    def check(self, kind: str, number: int) -> None:
        """Raise OutOfTurnError if the step is not one.

        The case at hand can be answered, and the one before it again; an undo takes the last answer back.
        """
        in_turn = {
            "answer": number in (self.position, self.position - 1) and 0 <= number < self.total,
            "undo": self.position > 0,
            "looked": 0 <= number <= self.position,
        }
        if not in_turn.get(kind, False):
            raise OutOfTurnError(f"{kind} of case {number + 1} is out of turn: {self.position} are answered")

    def apply(self, record: dict[str, Any]) -> None:
        """Take a record in. Raises OutOfTurnError."""
        kind, number = record["kind"], record["number"]
        self.check(kind, number)
        if number < self.total:
            looked_at = self.read.setdefault(number, ReadCase())
            looked_at.active_ms += record["active_ms"]
            looked_at.elapsed_ms += record["elapsed_ms"]
        if kind == "answer":
            looked_at.answer = ReaderAnswer(record["answer"])
            looked_at.answered_at = record["at"]
            looked_at.answers_given += 1
            self.position = number + 1
        elif kind == "undo":
            self.position -= 1
            self.read[self.position].answer = None


def replay(total: int, records: Iterable[dict[str, Any]]) -> ReaderProgress:
    """Where a reader is after ``records``."""
    progress = ReaderProgress(total)
    for record in records:
        progress.apply(record)
    return progress
