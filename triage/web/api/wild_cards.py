"""Wild card matching (PS3.4 C.2.2.2.4), value_at a cost that the client cannot inflate. Pure.

No regular expression: with many ``*`` in a row it would try every way to split the value among them.
"""

from __future__ import annotations


def matches(value: str, wanted: str) -> bool:
    """Return True if ``value`` matches ``wanted``, in which ``*`` is any text and ``?`` any character.

    The cost is at most the product of the two lengths.
    """
    value_at, pattern_at, star, restart = 0, 0, -1, 0
    while value_at < len(value):
        if pattern_at < len(wanted) and wanted[pattern_at] == "*":
            star, restart = pattern_at, value_at
            pattern_at += 1
        elif pattern_at < len(wanted) and wanted[pattern_at] in ("?", value[value_at]):
            value_at, pattern_at = value_at + 1, pattern_at + 1
        elif star >= 0:  # the last * takes one more character; all before it matches already
            restart += 1
            value_at, pattern_at = restart, star + 1
        else:
            return False
    return not wanted[pattern_at:].strip("*")
