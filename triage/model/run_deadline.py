"""A time limit on one run of a model: a graph may hold a loop that never ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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

    @contextmanager
    def run(self) -> Iterator[RunOptions]:
        """Yield the RunOptions for one run. Raises NotEndedError."""
        options: RunOptions = onnxruntime.RunOptions()
        began, over = time.monotonic(), threading.Event()
        options.log_severity_level = 4  # its errors about a run that was stopped here are no news
        watching = threading.Thread(target=self._watch, args=(options, over), name="run deadline", daemon=True)
        watching.start()
        try:
            yield options
            self._slowest = max(self._slowest, time.monotonic() - began)
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            if not options.terminate:
                raise
            seconds = self._seconds
            self._seconds = min(seconds, max(_MIN_DEADLINE_S, _FACTOR_OF_SLOWEST * self._slowest))
            raise NotEndedError(f"did not end within {seconds:g} s, and was stopped") from error
        finally:
            over.set()

    def _watch(self, options: RunOptions, over: threading.Event) -> None:
        if over.wait(self._seconds):
            return
        options.terminate = True
        if not over.wait(self._seconds):
            self._on_stuck()
