"""Files with the same bytes, found without reading all of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

_ENDS = 1 << 16  # bytes
_PIECE = 1 << 20


def same_bytes(files: Sequence[Path]) -> list[list[int]]:
    """Return groups of positions in ``files`` whose bytes are the same, each in order. Raises OSError.

    Sizes are compared first, then the first and last 64 KiB, and only if these are the same the whole.
    """
    groups = [list(range(len(files)))]
    for measure in (_size, _ends, _whole):
        groups = [part for group in groups for part in _split(group, files, measure)]
    return sorted(groups)


def _split(group: Iterable[int], files: Sequence[Path], measure: Callable[[Path], object]) -> list[list[int]]:
    found: dict[object, list[int]] = {}
    for position in group:
        found.setdefault(measure(files[position]), []).append(position)
    return [each for each in found.values() if len(each) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        digest = sha256(file.read(_ENDS))
        if (size := path.stat().st_size) > 2 * _ENDS:
            file.seek(size - _ENDS)
        digest.update(file.read(_ENDS))
    return digest.digest()


def _whole(path: Path) -> bytes:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.digest()
