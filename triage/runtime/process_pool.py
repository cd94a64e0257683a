"""Child processes, and every private part of ``concurrent.futures`` and ``multiprocessing`` that is used for them.

Written against Python 3.11; ``tests/runtime/test_process_pool.py`` fails where a release changes what is used here.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import forkserver as server_module
from multiprocessing.context import ForkServerContext
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import NoReturn

from triage.runtime.forked import load, name_process

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
    """Load the code of the children, and fork their server, which shares this process's memory (ADR 93).

    A process with threads cannot be forked: then the server is a Python of its own, and so is the next one, should this
    one die.
    """
    _context()
    if threading.active_count() > 1:
        server_module.ensure_running()
        return
    load(_DECODERS)
    _fork_server()


def _fork_server() -> None:
    """Do what ``ForkServer.ensure_running`` does, by a fork instead of a new Python."""
    address = f"{get_temp_dir()}/decode"  # the folder is its owner's alone
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        read_end, write_end = os.pipe()  # the server ends when nothing has the other end any more
        pid = os.fork()
        if pid == 0:
            _serve(listener.fileno(), read_end)
        os.close(read_end)
    running = {"_forkserver_address": address, "_forkserver_alive_fd": write_end, "_forkserver_pid": pid}
    vars(server_module._forkserver).update(running)


def _serve(listener: int, alive: int) -> NoReturn:
    """Serve in the forked child. It keeps no other descriptor: through one, others would take its parent for alive."""
    try:
        for each in {int(entry.name) for entry in Path("/proc/self/fd").iterdir()} - {0, 1, 2, listener, alive}:
            with suppress(OSError):  # the listing's own
                os.close(each)
        name_process(["decode"])
        server_module.main(listener, alive, [])
    except Exception:  # the edge: the frames above are the parent's
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


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
