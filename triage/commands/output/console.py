"""What the commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    pass

_WIDE = 200  # nothing is cut or folded: a terminal wraps by itself, and a UID that is copied from it stays whole


def console_for_people() -> Console:
    """A console that is wide enough for our tables, whatever the terminal."""
    return Console(width=max(_WIDE, Console().width))
