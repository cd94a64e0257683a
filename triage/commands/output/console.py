"""The console of the commands."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_WIDE = 200  # nothing is cut or folded: a terminal wraps by itself, and a UID that is copied from it stays whole


def console_for_people() -> Console:
    """A console that is wide enough for our tables, whatever the terminal.

    Brackets and colons in what it prints mean nothing: much of it is text of strangers. Styles are given next to it.
    """
    return Console(width=max(_WIDE, Console().width), markup=False, emoji=False)


def progress_bar() -> Progress:
    """Return a bar on standard error with the counts done and in all, and the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
