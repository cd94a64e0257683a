"""Bytes by their position, of which nobody knows yet how many there are: in memory, in a file, deflated."""

from __future__ import annotations

import zlib
from io import SEEK_END
from typing import BinaryIO, Protocol

_AT_ONCE = 65536
_FRONT = 16384


class ByteSource(Protocol):
    """Bytes that are read by their position. ``front`` are those from ``front_at`` that are at hand, perhaps none."""

    @property
    def front(self) -> bytes: ...
    @property
    def front_at(self) -> int: ...

    def read(self, at: int, count: int) -> bytes:
        """The bytes at a position; fewer at the end."""

    def holds(self, end: int) -> bool:
        """Whether all bytes before the position ``end`` are there."""

    def size(self) -> int:
        """How many there are."""


class MemorySource:
    """Bytes in memory."""

    front_at = 0

    def __init__(self, data: bytes) -> None:
        self.front = data
        self._size = len(data)

    def read(self, at: int, count: int) -> bytes:
        return self.front[at : at + count]

    def holds(self, end: int) -> bool:
        return end <= self._size

    def size(self) -> int:
        return self._size


class OpenFileSource:
    """An open file. What stands in front, the attributes as a rule, is read at once."""

    def __init__(self, file: BinaryIO, start: int = 0) -> None:
        self._file = file
        self._size = file.seek(0, SEEK_END)
        self.front_at = file.seek(start)
        self.front = file.read(_FRONT)

    def read(self, at: int, count: int) -> bytes:
        found = at - self.front_at
        if found >= 0 and found + count <= len(self.front):
            return self.front[found : found + count]
        self._file.seek(at)
        return self._file.read(count)

    def holds(self, end: int) -> bool:
        return end <= self._size

    def size(self) -> int:
        return self._size


class InflatedSource:
    """What a raw deflate stream (PS3.5 A.5) inflates to, piece by piece as it is asked for, ``most`` bytes of it."""

    front, front_at = b"", 0

    def __init__(self, packed: ByteSource, start: int, most: int) -> None:
        self._packed = packed
        self._at = start
        self.most = most
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._ready = bytearray()
        self._broken = False

    @property
    def whole(self) -> bool:
        """Whether the stream was inflated to its end."""
        return self._inflater.eof

    def read(self, at: int, count: int) -> bytes:
        self.holds(at + count)
        return bytes(self._ready[at : at + count])

    def holds(self, end: int) -> bool:
        while len(self._ready) < end and self._inflate():
            pass
        return end <= len(self._ready)

    def size(self) -> int:
        self.holds(self.most + 1)
        return len(self._ready)

    def _inflate(self) -> bool:
        """Inflate a piece; False at the end, the bound, or a fault."""
        if self._inflater.eof or self._broken or len(self._ready) >= self.most:
            return False
        packed = self._inflater.unconsumed_tail
        if not packed:
            packed = self._packed.read(self._at, _AT_ONCE)
            self._at += len(packed)
        before = len(self._ready)
        try:
            self._ready += self._inflater.decompress(packed, _AT_ONCE)
        except zlib.error:
            self._broken = True
        return bool(packed) or len(self._ready) > before
