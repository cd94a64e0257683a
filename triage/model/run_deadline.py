"""A time limit on one run of a model: a graph may hold a loop that never ends."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from triage.errors import TriageError
from triage.model.onnx_runtime import RunOptions, onnxruntime

DEADLINE_S = 60.0

_FACTOR_OF_SLOWEST = 50.0
_MIN_DEADLINE_S = 5.0


class NotEndedError(TriageError):
    """A run was stopped because it did not end in time; the message has the time."""


def _do_nothing() -> None:
    return None


@dataclass(frozen=True)
class RunLimit:
    """Time limit of a run in seconds; ``on_stuck`` must end the process of a run that cannot be stopped."""

    seconds: float = DEADLINE_S
    on_stuck: Callable[[], object] = _do_nothing


@dataclass(eq=False)
class _Run:
    """A run that is watched: until ``ends_at`` (monotonic), then as long again."""

    options: RunOptions
    seconds: float
    ends_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.ends_at = time.monotonic() + self.seconds


class RunDeadline:
    """Stops runs that take longer than their limit.

    ONNX Runtime reads a flag before each node, in the body of a loop too, and ends the run there. A run that goes on
    all the same hangs in one node: after as long again ``on_stuck`` is called.

    After a run that was stopped, the limit of the next is shorter: a graph that hangs once may hang often.
    """

    def __init__(self, limit: RunLimit) -> None:
        self._seconds = limit.seconds
        self._on_stuck = limit.on_stuck
        self._slowest = 0.0
        self._changed = threading.Condition()
        self._runs: set[_Run] = set()
        self._is_watched = False
        self._slept_s = 0.0

    @contextmanager
    def run(self) -> Iterator[RunOptions]:
        """Yield the RunOptions for one run. Raises NotEndedError."""
        run = _Run(onnxruntime.RunOptions(), self._seconds)
        run.options.log_severity_level = 4  # its errors about a run that was stopped here are no news
        began = time.monotonic()
        self._begin(run)
        try:
            yield run.options
            self._slowest = max(self._slowest, time.monotonic() - began)
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            if not run.options.terminate:
                raise
            self._seconds = min(run.seconds, max(_MIN_DEADLINE_S, _FACTOR_OF_SLOWEST * self._slowest))
            raise NotEndedError(f"did not end within {run.seconds:g} s, and was stopped") from error
        finally:
            with self._changed:
                self._runs.remove(run)

    def _begin(self, run: _Run) -> None:
        """Have a run watched. One thread watches all that follow each other: a thread for each costs half a ms."""
        with self._changed:
            self._runs.add(run)
            if self._is_watched:
                if run.seconds < self._slept_s:  # it would wake too late
                    self._changed.notify()
                return
            self._is_watched = True
        threading.Thread(target=self._watch, name="run deadline", daemon=True).start()

    def _watch(self) -> None:
        """Stop runs whose time is over, until at the end of one's time there is none."""
        with self._changed:
            while self._runs:
                for run in self._runs:
                    self._check(run)
                next_at = min(run.ends_at for run in self._runs)
                self._slept_s = min(max(next_at - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
                self._changed.wait(self._slept_s)
            self._is_watched = False

    def _check(self, run: _Run) -> None:
        if time.monotonic() < run.ends_at:
            return
        if run.options.terminate:
            run.ends_at = math.inf
            self._on_stuck()
        else:
            run.options.terminate = True
            run.ends_at = time.monotonic() + run.seconds
