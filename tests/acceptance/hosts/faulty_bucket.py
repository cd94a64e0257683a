"""A proxy before the S3 store, on its host, that does to requests what a file says: a process of its own."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.s3_peer import Asked, Forwarded, Said, corrupted, error, s3_peer

MODES = ("slow", "503", "full", "corrupt")
_SLOW_S = 2.0


@dataclass(frozen=True)
class Faulty:
    """A store behind a proxy; the ``mode`` is read at each request."""

    store: Forwarded
    mode: Path

    def __call__(self, asked: Asked) -> Said:
        mode = self.mode.read_text().strip()
        if mode == "503":
            return error(503, "SlowDown")
        if mode == "full" and asked.method == "PUT":
            return error(507, "InsufficientStorage")
        if mode == "slow":
            time.sleep(_SLOW_S)
        if mode == "corrupt" and asked.body:
            asked = Asked(asked.method, asked.target, asked.headers, corrupted(asked.body))
        said = self.store(asked)
        if mode == "corrupt" and asked.method == "GET" and said.status in (200, 206) and said.body:
            return Said(said.status, said.headers, corrupted(said.body))
        return said


def main(host: str, port: str, store: str, mode: str) -> None:
    """Serve until the process is ended."""
    Path(mode).touch()
    with s3_peer(Faulty(Forwarded(store), Path(mode)), host=host, port=int(port), remembers=False):
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
