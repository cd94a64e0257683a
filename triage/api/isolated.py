"""Decode in a child process, safe for every caller.

``multiprocessing`` imports the caller's ``__main__`` anew in each child it does not fork: a script without
``if __name__ == "__main__"`` would run twice, and a notebook has none. This child is a plain interpreter that knows
our code alone, so that it can be started from anywhere. A decoder that crashes, or takes too long or too much memory,
ends it and costs one image its score.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from triage.api.asserted import Asserted
from triage.api.decoding import refused
from triage.api.dx_file import Pixels
from triage.decision.reasons import Reason
from triage.errors import StartError
from triage.radiograph.types import Rejected
from triage.runtime.child_pool import MOST_MEMORY
from triage.runtime.memory import limit_memory
from triage.scoring.assess import PreparedImage

TIMEOUT_S = 60.0

PrepareImage = Callable[[bytes | Pixels, Asserted], PreparedImage]
_GRACE_S = 10.0
_START_S = 120.0
_READY = "ready"
_OURS = str(Path(__file__).resolve().parents[2])
_PROGRAM = "import sys; sys.path[:] = {path!r}; from triage.api.isolated import serve; serve({fd}, {seconds}, {memory})"


class IsolatedDecoding:
    """Run ``decoding`` in a child, one image at a time; the child is started at once, and anew if it dies.

    Args:
        decoding: What to run; must pickle.
        timeout_s: Seconds that one image may take.
        most_memory: Bytes that the child may use.

    Raises:
        StartError: The child does not start.
    """

    def __init__(self, decoding: PrepareImage, timeout_s: float = TIMEOUT_S, most_memory: int = MOST_MEMORY) -> None:
        self._decoding = decoding
        self._timeout_s = timeout_s
        self._most_memory = most_memory
        self._child: _Child | None = None
        self._turn = threading.Lock()
        self._ready()

    def __call__(self, source: bytes | Pixels, asserted: Asserted) -> PreparedImage:
        """Prepare one image. Rejected with WORKER_FAILURE if the child died of it or did not end in time."""
        with self._turn:
            try:
                answer = self._ready().ask(source, asserted)
            except BaseException:  # Ctrl-C too: what the child says next would be another image's answer
                self._end()
                raise
            if answer is None:
                self._end()
                return refused(Rejected(Reason.WORKER_FAILURE, "the decoder died or did not end in time"))
            return answer

    def close(self) -> None:
        """End the child."""
        with self._turn:
            self._end()

    def _ready(self) -> _Child:
        if self._child is not None and not self._child.runs():
            self._end()
        if self._child is None:
            self._child = _Child(self._decoding, self._timeout_s, self._most_memory)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """One interpreter with our end of the socket to it."""

    def __init__(self, decoding: PrepareImage, timeout_s: float, most_memory: int) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        self._timeout_s = timeout_s
        program = _PROGRAM.format(path=[*sys.path, _OURS], fd=theirs.fileno(), seconds=timeout_s, memory=most_memory)
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        self.end = weakref.finalize(self, _end, self._process, self._connection, os.getpid())
        with suppress(EOFError, ConnectionError):
            if self._connection.poll(_START_S) and self._connection.recv() == _READY:
                self._connection.send(decoding)
                return
        self.end()
        raise StartError("the process that decodes does not start: what it says stands on standard error")

    def runs(self) -> bool:
        """Return whether the child has not ended."""
        return self._process.poll() is None

    def ask(self, source: bytes | Pixels, asserted: Asserted) -> PreparedImage | None:
        """Return the answer; None if the child died, or said nothing in the time that it has for it."""
        with suppress(EOFError, ConnectionError):
            self._connection.send((source, asserted))
            # Its own alarm ends it first; ours is for one that waits for a disk, which no signal ends.
            if self._connection.poll(math.ceil(self._timeout_s) + _GRACE_S):
                answer: PreparedImage = self._connection.recv()
                return answer
        return None


def _end(process: subprocess.Popen[bytes], connection: Connection, started_by: int) -> None:
    """End a child; not from a fork of the process that started it, which has the same objects."""
    connection.close()
    if os.getpid() == started_by:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


def serve(descriptor: int, timeout_s: float, most_memory: int) -> None:
    """Answer one image after another until the other end is closed: the child's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, in the midst of a decoder too
    limit_memory(most_memory)
    with Connection(descriptor) as connection, suppress(EOFError, ConnectionError):
        connection.send(_READY)
        decoding: PrepareImage = connection.recv()
        while True:
            source, asserted = connection.recv()
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            answer = decoding(source, asserted)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send(answer)
