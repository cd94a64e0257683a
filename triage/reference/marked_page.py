"""Pages of documentation with generated parts, each between ``<!-- table: NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def names_of(page: str) -> list[str]:
    """Return the names of the generated parts of a page, in their order."""
    return [found[1] for found in _MARKED.findall(page)]


def renewed(page: str, parts: Mapping[str, str]) -> str:
    """Return the page with its generated parts replaced by ``parts``, each of which ends with a line feed.

    Raises:
        KeyError: the page has a part that ``parts`` lacks.
    """
    return _MARKED.sub(lambda found: f"{found[1]}{parts[found[2]]}{found[3]}", page)


def table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table, with a line feed at its end. A vertical bar in a cell is escaped."""
    lines = [headings, ("---",) * len(headings), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
