"""Two lists of keys are merged in the order of their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.spool.comparing.merge import merged
from triage.spool.comparing.values import CompareError


@dataclass(frozen=True)
class Item:
    key: str


KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), unique=True)


def items(keys: list[str]) -> list[Item]:
    return [Item(key) for key in sorted(keys, key=str.encode)]


@given(KEYS, KEYS)
def test_each_key_comes_once_with_the_item_of_each_side(left: list[str], right: list[str]) -> None:
    pairs = list(merged(items(left), items(right)))
    assert [one for one, _ in pairs if one] == items(left) and [other for _, other in pairs if other] == items(right)
    assert all(one is None or other is None or one.key == other.key for one, other in pairs)
    keys = [(one or other).key.encode() for one, other in pairs]  # type: ignore[union-attr]
    assert keys == sorted(set(keys))


def test_no_more_of_a_list_is_held_than_one_item() -> None:
    taken = count()

    def endless() -> Iterator[Item]:
        for number in taken:
            yield Item(f"{number:09d}")

    assert len(list(islice(merged(endless(), [Item("000000005")]), 10))) == 10
    assert next(taken) <= 12


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["main/1", "main+x/1"]])
def test_a_list_that_is_not_in_order_is_no_list_to_compare(keys: list[str]) -> None:
    for pair in ((keys, []), ([], keys)):
        with pytest.raises(CompareError, match="not in the order"):
            list(merged([Item(key) for key in pair[0]], [Item(key) for key in pair[1]]))
