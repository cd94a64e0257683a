"""A time limit on loading a model: ONNX Runtime's optimisation of a graph, or its first run, may never end.

ONNX Runtime reads its flag for that (``set_load_cancellation_flag``) between two steps of the optimisation only, and
folding constants is one step; the flag of a run it reads between two nodes. So each model is loaded and run once in a
child first, which can be ended at any time.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress

from triage.model.card import ModelRefusedError
from triage.runtime.logs import Form, form_in_force, set_up_logs
from triage.runtime.process_pool import end_with_parent, forkserver

LOAD_DEADLINE_S = 120.0
_JOIN_S = 5.0


class NotLoadedError(ModelRefusedError):
    """A model whose loading or first run did not end, or ended its process; ``why`` goes on after the model's name."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} {why}")
        self.why = why


def try_to_load(name: str, load: Callable[[], object], seconds: float = LOAD_DEADLINE_S) -> None:
    """Run ``load`` in a child; it must pickle. Raises NotLoadedError if that does not end in ``seconds``, or dies.

    An error that ``load`` raises is not passed on: the caller loads the model next, and meets it again.
    """
    child = forkserver().Process(target=_load, args=(load, *form_in_force()), daemon=True)
    child.start()
    child.join(seconds)
    status = child.exitcode
    if status is None:
        child.kill()
        child.join(_JOIN_S)  # one that waits for a disk cannot even be killed
        raise NotLoadedError(
            name, f"did not load and run once within {seconds:g} s (worker.load_timeout_s), and was stopped"
        )
    if status:
        raise NotLoadedError(name, f"ended the process in which it was loaded and run once ({_ending(status)})")


def _load(load: Callable[[], object], form: Form, process: str) -> None:
    set_up_logs("WARNING", form, process)
    end_with_parent()
    with suppress(Exception):
        load()


def _ending(status: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"status {status}"
