"""A child process that is forked, not started anew: it shares the memory of the modules that are loaded here.

Only for a process without threads of its own: a thread that holds a lock at the fork leaves it held for ever in the
child. (OpenBLAS ends its threads before a fork, and starts them again when it needs them.)
"""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import ModuleType

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_ARGUMENTS_FROM, _ARGUMENTS_TO = 48, 49  # fields of /proc/self/stat, proc(5)


@dataclass(frozen=True)
class ForkedProcess:
    """A forked child, with the methods of ``subprocess.Popen`` that a supervisor needs."""

    process: ForkProcess

    @property
    def pid(self) -> int:
        """Its process ID."""
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status when it has ended. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout or 0.0)
        return self.process.exitcode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()


def load(modules: Iterable[str]) -> None:
    """Import ``modules``, so that children share them, and keep the garbage collector from writing to their pages."""
    missing = [name for name in modules if name not in sys.modules]
    for name in missing:
        import_module(name)
    if missing:
        gc.collect()
        gc.freeze()


def fork(run: Callable[[list[str]], object], words: list[str], close: Iterable[int] = ()) -> ForkedProcess:
    """Fork a child that calls ``run(words)``; its exit status is that of the SystemExit, or 1 after another error.

    The kernel sends it SIGTERM if this process dies. ``words`` are its command line for people, ``close`` the
    descriptors that it must not keep: a lock is held until the last of its descriptors is closed. Raises OSError.
    """
    # A signal that comes in between must meet the child's own handlers, not a copy of ours.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        arguments = (run, words, tuple(close), os.getpid(), before)
        process = multiprocessing.get_context("fork").Process(target=_child, args=arguments, name=" ".join(words))
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return ForkedProcess(process)


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when ``parent``, its parent, dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before prctl
        os.kill(os.getpid(), signal.SIGTERM)


def _child(
    run: Callable[[list[str]], object], words: list[str], close: tuple[int, ...], parent: int, mask: set[signal.Signals]
) -> None:
    os.setsid()  # Ctrl-C reaches the parent alone, which stops its children in order
    for each in close:
        os.close(each)
    for number in _STOPPING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    end_with_parent(parent)
    logging.getLogger().handlers.clear()  # it sets up a log of its own
    name_process(words)
    # multiprocessing has each process that this one starts import the program that was started: half of its memory.
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        run(words)
    except Exception:  # the edge: multiprocessing would print it past the log
        sys.excepthook(*sys.exc_info())
        sys.exit(1)


def name_process(words: list[str]) -> None:
    """Show ``triage`` and ``words`` as this process's command line in ps, where the old one is long enough for it."""
    title = "\0".join(["triage", *words]).encode() + b"\0"
    ctypes.CDLL(None).prctl(_PR_SET_NAME, f"triage-{words[0]}".encode()[:15], 0, 0, 0)
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = (int(fields[number - 3]) for number in (_ARGUMENTS_FROM, _ARGUMENTS_TO))
    if begin and len(title) <= end - begin:
        ctypes.memmove(begin, title.ljust(end - begin, b"\0"), end - begin)
