"""PURE: wild card matching (PS3.4 C.2.2.2.4), at a cost that whoever asks cannot choose.

Not with a regular expression: on many ``*`` in a row those try every way to share out a value among them.
"""

from __future__ import annotations


def matches(value: str, wanted: str) -> bool:
    """Whether ``value`` is ``wanted``, in which ``*`` is any text and ``?`` any character: in the product of the two
    lengths at most.
    """
    at, place, star, tried = 0, 0, -1, 0
    while at < len(value):
        if place < len(wanted) and wanted[place] == "*":
            star, tried = place, at
            place += 1
        elif place < len(wanted) and wanted[place] in ("?", value[at]):
            at, place = at + 1, place + 1
        elif star >= 0:  # the last * takes one more; what stood before it was right already
            tried += 1
            at, place = tried, star + 1
        else:
            return False
    return not wanted[place:].strip("*")
