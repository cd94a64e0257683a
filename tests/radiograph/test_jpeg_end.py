"""The end marker of a JPEG, wherever it stands, is the one that a plain search finds."""

from __future__ import annotations

import random

import pytest

from triage.radiograph import jpeg
from triage.radiograph.undecodable import UndecodableError

EDGE = jpeg._AT_ONCE


@pytest.mark.parametrize("at", [0, 1, 7, EDGE - 2, EDGE - 1, EDGE, EDGE + 1, 3 * EDGE - 1, 3 * EDGE])
@pytest.mark.parametrize("scan_at", [0, 5])
@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\xd9", b"\xff\0"])
def test_it_is_found_at_every_place(at: int, scan_at: int, filling: bytes):
    before = (filling * (at + 5))[: at + 5]
    codestream = before + b"\xff\xd9" + b"\0" * 9 + b"\xff\xd9"
    assert jpeg._end_of_image(codestream, scan_at) == codestream.find(b"\xff\xd9", scan_at)


def test_it_is_that_of_a_plain_search_in_random_bytes():
    drawn = random.Random(1)
    for _ in range(200):
        codestream = bytes(drawn.choice((0, 0xD8, 0xD9, 0xFF, 0xFF)) for _ in range(drawn.randrange(40)))
        scan_at = drawn.randrange(40)
        found = codestream.find(b"\xff\xd9", scan_at)
        if found >= 0:
            assert jpeg._end_of_image(codestream, scan_at) == found
        else:
            with pytest.raises(UndecodableError, match="cut short"):
                jpeg._end_of_image(codestream, scan_at)
