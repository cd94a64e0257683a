"""A forked child of a test that does one thing, and says in one line how that went."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class Child:
    """A forked child that runs ``act(tell, heard)``: ``tell`` writes a line to the test, ``heard`` waits for one."""

    def __init__(self, act: Callable[[Callable[[str], None], Callable[[], str]], object]) -> None:
        (from_child, to_test), (from_test, to_child) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:  # pragma: no cover
            os.close(from_child)
            os.close(to_child)
            _run(act, to_test, from_test)
        os.close(to_test)
        os.close(from_test)
        self._lines = os.fdopen(from_child, "r")
        self._told = os.fdopen(to_child, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGKILL)
        self.wait()
        for file in (self._lines, self._told):
            with suppress(OSError):
                file.close()

    def line(self) -> str:
        """The next line of the child; empty if it has ended."""
        return self._lines.readline().strip()

    def tell(self, line: str) -> None:
        """Say a line to the child."""
        self._told.write(line + "\n")
        self._told.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> None:
        """Wait for its end."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _run(act: Callable[..., object], to_test: int, from_test: int) -> None:  # pragma: no cover
    heard = os.fdopen(from_test, "r")

    def tell(line: str) -> None:
        os.write(to_test, f"{line}\n".encode())

    try:
        act(tell, lambda: heard.readline().strip())
    except BaseException as error:
        tell(f"{type(error).__name__}: {error}")
        sys.stderr.flush()
    finally:
        os._exit(0)
