"""The index against a real Redis: order, pages, rebuilding."""

from __future__ import annotations

import random

import pytest

from tests.support.builders import a_decision
from tests.support.redis_server import RedisServer
from triage.decision.types import Priority, TriageDecision
from triage.worklist import index_keys as keys
from triage.worklist.index import IndexedWorklist
from triage.worklist.page import BadCursorError


@pytest.fixture
def index(redis_server: RedisServer) -> IndexedWorklist:
    return IndexedWorklist(redis_server.client())


def pages(index: IndexedWorklist, limit: int, now: float = 1e6, cap_s: float = 0.0) -> list[str]:
    """Study UIDs of all pages."""
    found: list[str] = []
    cursor = None
    while True:
        page = index.page(cursor, limit, now, cap_s)
        assert len(page.entries) <= limit
        found += [entry.study_instance_uid for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            return found


def some(count: int) -> list[TriageDecision]:
    rng = random.Random(3)
    return [
        a_decision(f"1.2.{n}", priority=rng.choice(list(Priority)), received_at=float(rng.randrange(count)))
        for n in range(count)
    ]


def reading_order(decisions: list[TriageDecision], now: float, cap_s: float) -> list[str]:
    """The order as the design words it, straightforwardly."""
    rank = {Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 3}

    def key(decision: TriageDecision) -> tuple[int, float, str]:
        overdue = bool(cap_s) and now - decision.received_at > cap_s
        return (0 if overdue else rank[decision.priority], decision.received_at, decision.study_instance_uid)

    return [decision.study_instance_uid for decision in sorted(decisions, key=key)]


@pytest.mark.parametrize("cap_s", [0.0, 40.0, 1e9])
@pytest.mark.parametrize("limit", [1, 7, 500])
def test_all_pages_together_are_the_reading_order(index: IndexedWorklist, limit: int, cap_s: float) -> None:
    decisions = some(100)
    index.put_all(decisions)
    assert pages(index, limit, now=100.0, cap_s=cap_s) == reading_order(decisions, 100.0, cap_s)


def test_a_raised_study_moves_and_is_listed_once(index: IndexedWorklist) -> None:
    index.put_all([a_decision("1.1", received_at=1.0), a_decision("1.2", received_at=2.0)])
    index.put(a_decision("1.2", received_at=2.0, priority=Priority.HIGH, tagged_at=2000.0))
    assert pages(index, 10) == ["1.2", "1.1"]
    assert index.count() == 2


def test_an_older_decision_does_not_overwrite_a_newer_one(index: IndexedWorklist) -> None:
    newer = a_decision(priority=Priority.HIGH, tagged_at=20.0)
    index.put(newer)
    index.put(a_decision(tagged_at=10.0))
    assert index.get("1.2.3") == newer
    assert index.count() == 1


def test_removed_studies_are_gone(index: IndexedWorklist) -> None:
    index.put(a_decision())
    index.remove("1.2.3")
    index.remove("9.9.9")
    assert index.get("1.2.3") is None
    assert pages(index, 10) == []


def test_an_emptied_redis_is_noticed(redis_server: RedisServer, index: IndexedWorklist) -> None:
    index.end_building(index.begin_building())
    assert index.is_built()
    redis_server.client().flushall()
    assert not index.is_built()


@pytest.mark.parametrize("cursor", ["x", "####", "MTIz", "MSw5LGE", "bnVsbA", "Ü"])
def test_a_made_up_cursor_is_refused(index: IndexedWorklist, cursor: str) -> None:
    with pytest.raises(BadCursorError):
        index.page(cursor, 10, 0.0)


@pytest.mark.parametrize("start", [b"\xff", b"\xe0\x80", b"\x80,", b"0000000000000000|\xff", b"9999999999999999|\xff"])
def test_what_a_stranger_wrote_that_is_no_text_is_gone_past(
    redis_server: RedisServer, index: IndexedWorklist, start: bytes
) -> None:
    """A page that took such names for text began again at the first of them, for ever."""
    decisions = some(20)
    index.put_all(decisions)
    for name in keys.LISTS.values():
        redis_server.client().zadd(name, {start + str(number).encode(): 0 for number in range(1200)})
    wanted = reading_order(decisions, 1e6, 0.0)
    assert pages(index, 3) == wanted
    assert {uid for uid, entry in index.listed_entries() if entry} == set(wanted)
    assert len(list(index.arrived_before(1e6))) >= len(decisions)


def test_an_entry_of_another_study_is_nobody_s(redis_server: RedisServer, index: IndexedWorklist) -> None:
    one, other = (a_decision(uid, accession_number=uid) for uid in ("1.2.1", "1.2.2"))
    index.put_all([one, other])
    redis_server.client().hset(keys.ENTRIES, "1.2.1", keys.entry(other))
    redis_server.client().zadd(keys.READ_AT, {"1.2.1": 1.0})
    assert index.get("1.2.1") is None
    assert index.listed(["1.2.1"], []) == ()
    assert index.last_read(10) == ()
    assert index.page(None, 10, 1e6).entries == (other,)
