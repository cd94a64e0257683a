"""Answers of readers on the disk: one line for each record, durable before the page says "saved"."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from triage.errors import StartError
from triage.reader_study.progress import OutOfTurnError, ReaderProgress, ReaderRecord, replay
from triage.runtime.durable import append_durably


def read_records(path: Path) -> list[ReaderRecord]:
    """Read every record. A line that a crash cut off is skipped: its answer was not confirmed as saved.

    Raises KeyError, TypeError or ValueError for a damaged record.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [ReaderRecord.from_json(content) for line in lines if (content := _object(line)) is not None]


def read_progress(path: Path, total: int) -> ReaderProgress:
    """Read the progress of a reader. Raises StartError for records that do not follow from each other."""
    try:
        return replay(total, read_records(path))
    except (OutOfTurnError, KeyError, TypeError, ValueError) as error:
        raise StartError(f"{path} is damaged ({error}): restore it from a copy") from error


class AnswerLog:
    """The answers of one reader. Thread-safe; for one process at a time."""

    def __init__(self, path: Path, total: int, now: Callable[[], str]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._progress = read_progress(path, total)

    @property
    def progress(self) -> ReaderProgress:
        """The progress of the reader; callers must not change it."""
        return self._progress

    def add(self, step: ReaderRecord) -> None:
        """Add a step with the current time, and return when it is on the disk. Raises OutOfTurnError and OSError."""
        record = step.at_time(self._now())
        with self._lock:
            self._progress.check(record.kind, record.number)
            # The line break comes first, so that a line that a crash cut off does not spoil the next one.
            append_durably(self._path, "\n" + json.dumps(record.to_json()))
            self._progress.apply(record)


def _object(line: str) -> dict[str, object] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
