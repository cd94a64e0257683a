"""Tables in Markdown, as docs/results has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from triage.statistics.intervals import Bounds


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, a line for each row."""
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])


def with_bounds(value: float, bounds: Bounds, sign: str = "") -> str:
    """Return a figure with its interval, of three digits. ``sign`` "+": as a difference."""
    return f"{value:{sign}.3f} ({bounds[0]:{sign}.3f} to {bounds[1]:{sign}.3f})"
