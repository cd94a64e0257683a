"""A reader's answers on the disk: one line a record, durable before anybody is told that it is saved."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from triage.errors import StartError
from triage.reader_study.progress import OutOfTurnError, ReaderProgress, replay
from triage.runtime.durable import append_durably


def read_records(path: Path) -> list[dict[str, Any]]:
    """Every record; a line that a crash cut is left out, for nobody was told that it is saved."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [record for line in lines if (record := _record(line)) is not None]


def read_progress(path: Path, total: int) -> ReaderProgress:
    """Where the reader is. Raises StartError for records that do not follow from each other."""
    try:
        return replay(total, read_records(path))
    except (OutOfTurnError, KeyError, ValueError) as error:
        raise StartError(f"{path} is damaged ({error}): restore it from a copy") from error


class AnswerBook:
    """The answers of one reader. Safe to share between threads; one process at a time."""

    def __init__(self, path: Path, total: int, now: Callable[[], str]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._progress = read_progress(path, total)

    @property
    def progress(self) -> ReaderProgress:
        """Where the reader is; not to be changed."""
        return self._progress

    def add(self, kind: str, number: int, times: dict[str, int], **more: str) -> None:
        """Take a step, and return when it is on the disk. Raises OutOfTurnError and OSError."""
        record = {"kind": kind, "number": number, "at": self._now(), **times, **more}
        with self._lock:
            self._progress.check(kind, number)
            # The line break comes first, so that a line that a crash cut does not spoil the next one.
            append_durably(self._path, "\n" + json.dumps(record))
            self._progress.apply(record)


def _record(line: str) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
