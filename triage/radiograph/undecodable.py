"""Errors of the readers of pixels. ``decode`` turns them into a Rejected."""

from __future__ import annotations

from triage.decision.reasons import Reason
from triage.errors import TriageError


class UndecodableError(TriageError):
    """The pixels are damaged or not supported. The message contains no value of an attribute."""

    reason = Reason.UNDECODABLE


class SeveralImagesError(UndecodableError):
    """An object of one frame contains more than one image: none of them alone represents it."""

    reason = Reason.MULTI_FRAME


_MOST_PIXELS = 100_000_000  # rows times columns: no radiograph is larger, and memory is limited


def check_size(rows: int, columns: int) -> None:
    """Raise UndecodableError for an image without rows or columns, or of more pixels than any radiograph has."""
    if not (rows > 0 and columns > 0 and rows * columns <= _MOST_PIXELS):
        raise UndecodableError(f"{rows} rows and {columns} columns are no radiograph")
