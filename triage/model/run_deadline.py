"""A time limit on one run of a model: a graph may hold a loop that never ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from triage.model.onnx_runtime import onnxruntime

DEADLINE_S = 60.0

_TIMES_THE_SLOWEST = 50.0
_SHORTEST_S = 5.0


class NotEndedError(Exception):
    """A run was stopped because it did not end in time; the message says in what time."""


class RunDeadline:
    """Stops runs that take longer than ``seconds``.

    ONNX Runtime looks at a flag before each node, in the body of a loop too, and ends the run there. A run that goes on
    all the same hangs in one node: after as long again ``stuck`` is called, and has to end the process.

    After a run that was stopped, less is waited for the next: what hangs once may hang often, and keeps others waiting.
    """

    def __init__(self, seconds: float, stuck: Callable[[], object] | None = None) -> None:
        self._seconds = seconds
        self._stuck = stuck
        self._slowest = 0.0

    @contextmanager
    def run(self) -> Iterator[Any]:
        """RunOptions for one run. Raises NotEndedError."""
        options, began, over = onnxruntime.RunOptions(), time.monotonic(), threading.Event()
        options.log_severity_level = 4  # what it says of a run that we stopped is no news
        watching = threading.Thread(target=self._watch, args=(options, over), name="run deadline", daemon=True)
        watching.start()
        try:
            yield options
            self._slowest = max(self._slowest, time.monotonic() - began)
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            if not options.terminate:
                raise
            seconds = self._seconds
            self._seconds = min(seconds, max(_SHORTEST_S, _TIMES_THE_SLOWEST * self._slowest))
            raise NotEndedError(f"did not end within {seconds:g} s, and was stopped") from error
        finally:
            over.set()

    def _watch(self, options: Any, over: threading.Event) -> None:
        if over.wait(self._seconds):
            return
        options.terminate = True
        if self._stuck is not None and not over.wait(self._seconds):
            self._stuck()
