"""The log of every process: one form of a line, with text of peers escaped and the number of lines bounded.

A line is for the person who must act. A peer can neither forge a line, nor move the cursor of a terminal, nor fill the
disk: control characters are escaped, further lines of a traceback are marked, and of a line that comes too often some
are written and the others are counted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, TextIO

from triage.runtime.library_logs import silence_libraries
from triage.runtime.log_context import fields_now

Form = Literal["lines", "json"]

MOST_LINES = 60
"""Lines from one place in the code in ``WINDOW_S`` seconds."""
WINDOW_S = 60.0
_MOST_PLACES = 1000
LONGEST = 4000
"""Characters of a message; what is longer is cut."""

_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FURTHER = "\n  | "
_MARKS = frozenset(map(chr, (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)))
"""Ends of lines and marks of writing direction: they change how the rest of a line is shown."""


def set_up_logs(level: str | int, form: Form = "lines", process: str = "") -> None:
    """Log to standard error from here on. Called once, before data of a peer or a patient is read.

    ``process`` is the name of the process in JSON.
    """
    handler = LimitedHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if form == "json" else LineFormatter(_FORM))
    logging.basicConfig(level=level, handlers=[handler])
    silence_libraries()
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_uncaught_in_thread


def form_in_force() -> tuple[Form, str]:
    """Return the form and the process name of the current set-up, for child processes to log alike."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonFormatter):
            return "json", handler.formatter.process
    return "lines", ""


def seldom(by: str = "") -> dict[str, int | str]:
    """Return the ``extra`` of a line that peers can cause: one a minute is written from its place in the code.

    Sources named by ``by`` are counted separately; of more than a thousand the oldest are forgotten.
    """
    return {"at_most": 1, "source": by}


def where_raised(error: BaseException) -> str:
    """Return the class and the place of an error, without its message, which may quote patient data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def printable(text: str, longest: int = LONGEST) -> str:
    r"""Return text on one line: control characters, ends of lines and marks of direction as ``\\x0a``, ``\\u202e``."""
    cut = text[:longest]
    shown = cut if cut.isprintable() else "".join(_shown(each) for each in cut)
    return shown if len(text) <= longest else f"{shown} ... ({len(text) - longest} more characters)"


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20 or 0x7F <= code < 0xA0:
        return f"\\x{code:02x}"
    if character in _MARKS or 0xD800 <= code < 0xE000:
        return f"\\u{code:04x}"
    return character


class LineFormatter(logging.Formatter):
    """One record, one line; the lines of a traceback follow behind a bar, so that none of them looks like a record.

    The fields of the log context follow the message, unless they are in it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        message = printable(record.getMessage())
        rest = " ".join(f"{name}={value}" for name, value in _about(record).items() if value not in message)
        message = f"{message} [{rest}]" if rest else message
        safe = logging.makeLogRecord({**record.__dict__, "msg": message, "args": None})
        safe.exc_text = None  # of another handler
        return super().format(safe)

    def formatException(self, ei: object) -> str:  # noqa: N802
        """Return the lines of a traceback, escaped and marked."""
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]
        return "  | " + _FURTHER.join(printable(line) for line in lines)


class JsonFormatter(logging.Formatter):
    """One record, one JSON object on one line, in ASCII (RFC 8259).

    Its keys are time (RFC 3339, UTC), level, logger, process, pid, message, the fields of the log context, and the
    lines of a traceback.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields: dict[str, int | str | list[str]] = {
            "time": at,
            "level": record.levelname,
            "logger": record.name,
            "process": self.process,
            "pid": os.getpid(),
            "message": printable(record.getMessage()),
            **_about(record),
        }
        if record.exc_info:
            fields["traceback"] = [printable(line) for line in self.formatException(record.exc_info).splitlines()]
        return json.dumps(fields)


def _about(record: logging.LogRecord) -> dict[str, str]:
    return {name: printable(value) for name, value in getattr(record, "about", {}).items()}


@dataclass
class _Window:
    began: float
    written: int = 0
    left_out: int = 0
    logger: str = ""
    level: str = ""


_Place = tuple[str, int, str]
"""File and line of the code, and the source where ``seldom`` names one."""


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes ``MOST_LINES`` from one place in the code in ``WINDOW_S`` seconds; then the number of those left out.

    A record with ``at_most`` has that limit in place of ``MOST_LINES`` (see ``seldom``).
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._windows: dict[_Place, _Window] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        record.about = fields_now()
        now = self._clock()
        self._close_windows(now)
        place = (record.pathname, record.lineno, getattr(record, "source", ""))
        window = self._windows.setdefault(place, _Window(now))
        if len(self._windows) > _MOST_PLACES:
            self._close(next(iter(self._windows)))
        if window.written >= getattr(record, "at_most", MOST_LINES):
            window.left_out += 1
            window.logger, window.level = record.name, record.levelname
            return
        window.written += 1
        super().emit(record)

    def close(self) -> None:
        """Write how many lines were left out, and close."""
        self._close_windows(float("inf"))
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Write which line could not be written. The default would print its arguments unescaped."""
        text = f"a log line of {Path(record.pathname).name}, line {record.lineno}, could not be written"
        record = logging.LogRecord(record.name, logging.ERROR, record.pathname, record.lineno, text, None, None)
        try:
            self.stream.write(self.format(record) + self.terminator)
        except (OSError, ValueError):  # standard error is closed
            return

    def _close_windows(self, now: float) -> None:
        for place, window in list(self._windows.items()):
            if now - window.began > WINDOW_S:
                self._close(place)

    def _close(self, place: _Place) -> None:
        window = self._windows.pop(place)
        if window.left_out:
            self._write_left_out(place, window)

    def _write_left_out(self, place: _Place, window: _Window) -> None:
        text = (
            f"{window.left_out} more lines like the last one from {Path(place[0]).name}, line {place[1]}, were left out"
        )
        level = logging.getLevelNamesMapping().get(window.level, logging.WARNING)
        super().emit(logging.LogRecord(window.logger, level, place[0], place[1], text, None, None))


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("triage").critical("a defect of ours ended the process", exc_info=(kind, error, trace))


def _log_unraisable(uncaught: sys.UnraisableHookArgs) -> None:
    """Log an error that cannot be caught, as in a destructor. Its message may quote patient data."""
    if uncaught.exc_value is not None:
        logging.getLogger("triage").error("a defect of ours or of a library: %s", where_raised(uncaught.exc_value))


def _log_uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is not None and not issubclass(uncaught.exc_type, SystemExit):
        name = uncaught.thread.name if uncaught.thread else "a thread"
        trace = (uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)
        logging.getLogger("triage").error("a defect of ours ended %s", name, exc_info=trace)
