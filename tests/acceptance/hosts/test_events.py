"""The order of what happens to three hosts."""

from __future__ import annotations

import pytest

from tests.acceptance.hosts.events import drawn


def test_a_seed_has_one_order_in_which_all_kinds_come_once_first() -> None:
    names = [each.name for each in drawn(7, 43)]
    assert names == [each.name for each in drawn(7, 43)] != [each.name for each in drawn(8, 43)]
    assert len(set(names)) == 43
    assert sum(name.startswith("kill -9 a/up") for name in names) == 7
    assert {name.partition(" alone loses ")[2] for name in names} == {"", "PostgreSQL", "the bucket", "Redis"}


def test_one_kind_can_be_looked_into() -> None:
    assert {each.name.partition(" alone ")[2] for each in drawn(7, 6, "alone")} == {
        "loses PostgreSQL",
        "loses the bucket",
        "loses Redis",
    }
    assert {each.name for each in drawn(7, 9, "stands still|altered")} == {
        "PostgreSQL stands still",
        "Redis stands still",
        "SeaweedFS stands still",
        "headers altered in the bucket",
    }
    with pytest.raises(AssertionError, match="no event"):
        drawn(7, 2, "nonsense")
