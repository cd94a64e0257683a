"""What the readers of pixels raise; ``decode`` makes a Rejected of it."""

from __future__ import annotations

from triage.decision.reasons import Reason


class UndecodableError(Exception):
    """What is wrong with the pixels, in words that name no value of an attribute."""

    reason = Reason.UNDECODABLE


class SeveralImagesError(UndecodableError):
    """An object of one frame that holds more than one image: none of them alone may speak for it."""

    reason = Reason.MULTI_FRAME


_MOST_PIXELS = 100_000_000  # rows times columns: no radiograph is larger, and memory is not endless


def check_size(rows: int, columns: int) -> None:
    """Raise UndecodableError for an image without rows or columns, or of more pixels than any radiograph has."""
    if not (rows > 0 and columns > 0 and rows * columns <= _MOST_PIXELS):
        raise UndecodableError(f"{rows} rows and {columns} columns are no radiograph")
