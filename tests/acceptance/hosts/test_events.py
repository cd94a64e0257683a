"""The order of what happens to three hosts."""

from __future__ import annotations

import pytest

from tests.acceptance.hosts.events import drawn


def test_a_seed_has_one_order_in_which_all_kinds_come_once_first() -> None:
    names = [each.name for each in drawn(7, 37)]
    assert names == [each.name for each in drawn(7, 37)] != [each.name for each in drawn(8, 37)]
    assert len(set(names)) == 37
    assert sum(name.startswith("kill -9 a/up") for name in names) == 7
    assert {name.partition(" alone loses ")[2] for name in names} == {"", "PostgreSQL", "the bucket", "Redis"}


def test_one_kind_can_be_looked_into() -> None:
    assert {each.name.partition(" alone ")[2] for each in drawn(7, 6, "alone")} == {
        "loses PostgreSQL",
        "loses the bucket",
        "loses Redis",
    }
    with pytest.raises(AssertionError, match="no event"):
        drawn(7, 2, "nonsense")
