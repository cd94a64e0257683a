"""Bytes that are read by their position, in memory, in a file or deflated; their number need not be known."""

from __future__ import annotations

import zlib
from io import SEEK_END
from typing import BinaryIO, Literal, Protocol

_AT_ONCE = 65536
_FRONT = 16384


class Openable(Protocol):
    """A DICOM file that can be opened where this runs: a path, or an object of a store. It can be sent to a child."""

    @property
    def name(self) -> str:
        """Its name in log lines."""

    def __hash__(self) -> int:
        """Return its hash: it may be a key."""

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """Open it for reading, at any position. Raises FileNotFoundError if it is there no more, OSError."""

    def read_bytes(self) -> bytes:
        """Return all of it. Raises as ``open``."""


class ByteSource(Protocol):
    """Bytes that are read by their position."""

    @property
    def front(self) -> bytes:
        """Bytes at hand, from the position ``front_at`` on; perhaps none."""

    @property
    def front_at(self) -> int:
        """Position of ``front``."""

    def read(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes from a position on; fewer at the end."""

    def holds(self, end: int) -> bool:
        """Return whether all bytes before the position ``end`` are there."""

    def size(self) -> int:
        """Return the number of bytes."""


class MemorySource:
    """Bytes in memory."""

    front_at = 0

    def __init__(self, data: bytes) -> None:
        self.front = data
        self._size = len(data)

    def read(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes from a position on; fewer at the end."""
        return self.front[at : at + count]

    def holds(self, end: int) -> bool:
        """Return whether all bytes before the position ``end`` are there."""
        return end <= self._size

    def size(self) -> int:
        """Return the number of bytes."""
        return self._size


class OpenFileSource:
    """An open file. Its first bytes, the attributes as a rule, are read at once."""

    def __init__(self, file: BinaryIO, start: int = 0) -> None:
        self._file = file
        self._size = file.seek(0, SEEK_END)
        self.front_at = file.seek(start)
        self.front = file.read(_FRONT)

    def read(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes from a position on; fewer at the end."""
        offset = at - self.front_at
        if offset >= 0 and offset + count <= len(self.front):
            return self.front[offset : offset + count]
        self._file.seek(at)
        return self._file.read(count)

    def holds(self, end: int) -> bool:
        """Return whether all bytes before the position ``end`` are there."""
        return end <= self._size

    def size(self) -> int:
        """Return the number of bytes."""
        return self._size


class InflatedSource:
    """The first ``most`` inflated bytes of a raw deflate stream (PS3.5 A.5), inflated as far as they are read."""

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
        """True if the stream has been inflated to its end."""
        return self._inflater.eof

    def read(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes from a position on; fewer at the end."""
        self.holds(at + count)
        return bytes(self._ready[at : at + count])

    def holds(self, end: int) -> bool:
        """Return whether all bytes before the position ``end`` are there."""
        while len(self._ready) < end and self._inflate():
            pass
        return end <= len(self._ready)

    def size(self) -> int:
        """Return the number of bytes."""
        self.holds(self.most + 1)
        return len(self._ready)

    def _inflate(self) -> bool:
        """Inflate the next part; return False at the end, the bound, or a fault."""
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
