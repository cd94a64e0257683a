"""Parts of one, two and three characters of a text, by which an index finds what a text contains. Pure.

A text contains a word only if it has all parts of the word: an index of the parts gives candidates, which are then
searched for the word itself.
"""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 3
BETWEEN = "\n"
"""Separates texts that are searched together; no part spans two of them."""


def grams_of(text: str, shortest: int = 1) -> list[str]:
    """Return all parts of a text, of ``shortest`` to three characters."""
    found = {
        each[start : start + size]
        for each in text.split(BETWEEN)
        for size in range(shortest, LONGEST + 1)
        for start in range(len(each) - size + 1)
    }
    return sorted(found)


def grams_in(words: Iterable[str], shortest: int = 1) -> list[str]:
    """Return the parts that a text has to have which contains all ``words``; none of a word that is too short."""
    found: set[str] = set()
    for word in words:
        size = min(len(word), LONGEST)
        if size >= shortest:
            found.update(word[start : start + size] for start in range(len(word) - size + 1))
    return sorted(found)
