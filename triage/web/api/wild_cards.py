"""Wild card matching (PS3.4 C.2.2.2.4), at a cost that the client cannot inflate. Pure.

No regular expression: with many ``*`` in a row it would try every way to split the value among them.
"""

from __future__ import annotations


def matches(value: str, wanted: str) -> bool:
    """Return True if ``value`` matches ``wanted``, in which ``*`` is any text and ``?`` any character.

    The cost is at most the product of the two lengths.
    """
    at, place, star, tried = 0, 0, -1, 0
    while at < len(value):
        if place < len(wanted) and wanted[place] == "*":
            star, tried = place, at
            place += 1
        elif place < len(wanted) and wanted[place] in ("?", value[at]):
            at, place = at + 1, place + 1
        elif star >= 0:  # the last * takes one more character; all before it matches already
            tried += 1
            at, place = tried, star + 1
        else:
            return False
    return not wanted[place:].strip("*")
