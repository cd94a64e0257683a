"""An object of a bucket as a file for reading: few requests for a header, one for all that is left."""

from __future__ import annotations

import io
from collections.abc import Callable
from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import Any

AT_ONCE = 1 << 18
"""Bytes that a small read fetches: all attributes before the pixels, as a rule."""

Fetch = Callable[[int, int], tuple[bytes, int]]
"""Return ``count`` bytes from a position on (fewer at the end), and the size of the object. Raises OSError."""


class RangedReader(io.BufferedIOBase):
    """A file that fetches what is read of it, and keeps what it fetched last.

    Its first bytes are fetched when it is made: so the size is known, and who opens what is not there is told.
    """

    def __init__(self, fetch: Fetch, at_once: int = AT_ONCE) -> None:
        """Fetch the first bytes. Raises OSError."""
        self._fetch, self._at_once = fetch, at_once
        self._front, self._size = fetch(0, at_once)
        self._block, self._block_at = b"", 0
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Set the position, without a request."""
        start = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"no position of a file: {start + offset}")
        self._at = start + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return ``size`` bytes, or all that is left; fewer at the end. Raises OSError."""
        left = max(self._size - self._at, 0)
        count = left if size is None or size < 0 else min(size, left)
        found = self._from(self._front, 0, self._at, count) or self._from(self._block, self._block_at, self._at, count)
        if len(found) < count:
            found += self._fetched(self._at + len(found), count - len(found))
        self._at += len(found)
        return found

    def read1(self, size: int = -1) -> bytes:
        """Read as ``read`` does."""
        return self.read(size)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, and return the number of bytes. Raises OSError."""
        view = memoryview(buffer).cast("B")
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)

    def _fetched(self, at: int, count: int) -> bytes:
        """Fetch ``count`` bytes, and more where they are few; keep them for the reads that follow."""
        block, _ = self._fetch(at, min(max(count, self._at_once), self._size - at))
        if len(block) < count:
            raise EOFError(f"{count} bytes were promised, and {len(block)} came")
        self._block, self._block_at = block, at
        return block[:count]

    @staticmethod
    def _from(block: bytes, block_at: int, at: int, count: int) -> bytes:
        """Return what a block has of the bytes from a position on; empty unless it has the first of them."""
        start = at - block_at
        return block[start : start + count] if 0 <= start < len(block) else b""
