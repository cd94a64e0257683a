"""A time limit on loading a model: a graph may keep ONNX Runtime's optimisation for ever, or its first run.

ONNX Runtime looks at its flag for that (``set_load_cancellation_flag``) between two steps of the optimisation only, and
folding constants is one step; at that of a run between two nodes. So each model is loaded and run once in a child
first, which can be ended at any time.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from triage.model.card import ModelRefusedError
from triage.runtime.logs import Form, form_in_force, set_up_logs

LOAD_DEADLINE_S = 120.0
_GOODBYE_S = 5.0


class NotLoadedError(ModelRefusedError):
    """A model whose loading or first run did not end, or ended its process; ``why`` goes on after the model's name."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} {why}")
        self.why = why


def try_to_load(name: str, load: Callable[..., Any], *arguments: Any, seconds: float = LOAD_DEADLINE_S) -> None:
    """Run ``load(*arguments)`` in a child. Raises NotLoadedError if it does not end in ``seconds``, or dies.

    What it raises is not passed on: whoever loads the model next meets it again. All must pickle.
    """
    # Forkserver: the server of the decoders has imported what is needed, and this process has threads.
    work = (load, arguments, *form_in_force())
    child = multiprocessing.get_context("forkserver").Process(target=_load, args=work, daemon=True)
    child.start()
    child.join(seconds)
    status = child.exitcode
    if status is None:
        child.kill()
        child.join(_GOODBYE_S)  # one that waits for a disk cannot even be killed
        raise NotLoadedError(
            name, f"did not load and run once within {seconds:g} s (worker.load_timeout_s), and was stopped"
        )
    if status:
        raise NotLoadedError(name, f"ended the process in which it was loaded and run once ({_ending(status)})")


def _load(load: Callable[..., Any], arguments: tuple[Any, ...], form: Form, process: str) -> None:
    set_up_logs("WARNING", form, process)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(Exception):
        load(*arguments)


def _end_with_parent() -> None:
    """A parent that is killed ends no child of the fork server."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    signal.raise_signal(signal.SIGKILL)


def _ending(status: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"status {status}"
