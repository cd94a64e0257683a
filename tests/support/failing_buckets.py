"""Buckets that fail, stop their process or wait, at a step that the test chooses."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from tests.support.file_bucket import FileBucket


@dataclass(frozen=True)
class KillingBucket(FileBucket):
    """Kills its process with SIGKILL: ``before put``, ``after put``, ``before delete`` or ``after delete``."""

    step: str = ""

    def put(self, key: str, content: BinaryIO, size: int, sha256: bytes) -> None:
        self._kill("before put")
        super().put(key, content, size, sha256)
        self._kill("after put")

    def delete(self, key: str) -> None:
        self._kill("before delete")
        super().delete(key)
        self._kill("after delete")

    def _kill(self, step: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class ActingBucket(FileBucket):
    """Does what the test says ``before`` the bytes of a PUT are written, and ``after``."""

    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None

    def put(self, key: str, content: BinaryIO, size: int, sha256: bytes) -> None:
        self.before()
        super().put(key, content, size, sha256)
        self.after()


@dataclass(frozen=True)
class AwayBucket(FileBucket):
    """A store that refuses everything for now."""

    def size(self, key: str) -> int:
        raise OSError(errno.EAGAIN, "the store is busy, or refuses for now")


@dataclass(frozen=True)
class StartingBucket(FileBucket):
    """Knows its keys, and can give the bytes of none, or of all but those in ``lost``."""

    lost: tuple[str, ...] | None = None

    def open(self, key: str) -> BinaryIO:
        if self.lost is None or key in self.lost:
            raise OSError(errno.EIO, "the volume is not there")
        return super().open(key)


@dataclass(frozen=True)
class FailingKeys(FileBucket):
    """Gives no byte of some keys: the number of the system's for each of them."""

    numbers: dict[str, int] = field(default_factory=dict)

    def open(self, key: str) -> BinaryIO:
        self._check(key)
        return super().open(key)

    def read(self, key: str) -> bytes:
        self._check(key)
        return super().read(key)

    def _check(self, key: str) -> None:
        if key in self.numbers:
            raise OSError(self.numbers[key], "as the test says")


@dataclass(frozen=True)
class RefusingBucket(FileBucket):
    """Fails at every PUT and DELETE by a number of the system's, and notes the keys that it was to delete."""

    number: int = errno.ETIMEDOUT
    asked: list[str] = field(default_factory=list)

    def put(self, key: str, content: BinaryIO, size: int, sha256: bytes) -> None:
        raise OSError(self.number, "as the test says")

    def delete(self, key: str) -> None:
        self.asked.append(key)
        raise OSError(self.number, "as the test says")


@dataclass
class Gate:
    """A place where one thread waits until another lets it go on."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(60)
