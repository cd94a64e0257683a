"""Child processes, and every private part of ``concurrent.futures`` and ``multiprocessing`` that is used for them.

Written against Python 3.11; ``tests/runtime/test_process_pool.py`` fails where a release changes what is used here.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running

_DECODERS = ["triage.scoring.batch"]
_RESULTS_BYTES = 1 << 20
"""Of results between a child and its parent: the model inputs of a batch's share."""


def forkserver() -> ForkServerContext:
    """Return the context in which children are started: not by fork, as the parent has threads."""
    return multiprocessing.get_context("forkserver")


def kill_children(pool: ProcessPoolExecutor, *, wait: bool = False) -> None:
    """Kill every child of ``pool`` at once, and shut it down. Calls that were not finished raise BrokenProcessPool.

    Python 3.14 has ``kill_workers``; before, there is no public way to end a child that hangs.
    """
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=wait, cancel_futures=True)


def begin_server() -> None:
    """Have the server of the children begin to load their code, and return at once."""
    _context()
    ensure_running()


def _context() -> ForkServerContext:
    context = forkserver()
    context.set_forkserver_preload(_DECODERS)
    return context


def start_pool(processes: int, set_up: Callable[[], None]) -> ProcessPoolExecutor:
    """Return a pool of so many children, each of which runs ``set_up`` first; it must pickle.

    Their server imports the code of the decoders once, and all children share its memory.
    """
    pool = ProcessPoolExecutor(processes, _context(), initializer=set_up)
    with suppress(OSError, AttributeError):  # refused above the limit of a user: then results take longer
        # A result of 200 KB waits for its reader in a pipe of 64 KB, and with it the next child that has one.
        fcntl.fcntl(pool._result_queue._writer.fileno(), fcntl.F_SETPIPE_SZ, _RESULTS_BYTES)  # type: ignore[attr-defined]
    return pool


def end_with_parent() -> None:
    """Have this child killed when its parent ends, even if that is killed.

    Nothing else would end it: it has both ends of the queue that it waits on, and a child of the fork server is no
    child of the process that asked for it.
    """
    threading.Thread(target=_wait_for_parent, name="end with parent", daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
