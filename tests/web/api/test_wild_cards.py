"""Wild cards, with any pattern a client may send."""

from __future__ import annotations

import itertools
import re

import pytest

from triage.web.api.wild_cards import matches


def test_it_is_what_a_regular_expression_says_of_all_short_texts() -> None:
    values = ["".join(each) for length in range(5) for each in itertools.product("ab", repeat=length)]
    patterns = ["".join(each) for length in range(5) for each in itertools.product("ab*?", repeat=length)]
    for pattern in patterns:
        same = re.compile(pattern.replace("*", ".*").replace("?", "."))
        for value in values:
            assert matches(value, pattern) == (same.fullmatch(value) is not None), (value, pattern)


@pytest.mark.parametrize("wanted", ["*" * 8000 + "x", "*a" * 4000, "?*" * 4000 + "x", "*?" * 4000])
def test_many_stars_cost_nothing(wanted: str) -> None:
    """One such query kept a process busy for ever: this test would not end."""
    assert not matches("a" * 200, wanted)


def test_what_means_something_in_a_regular_expression_is_a_character() -> None:
    assert matches("A.1[2]\nB", "A.1[2]\nB")
    assert matches("A.1[2]\nB", "A*B")
    assert not matches("Ax1", "A.1")
