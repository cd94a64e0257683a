"""What is polled of the index, against a real Redis: the log of its changes, and what comes first."""

from __future__ import annotations

import pytest

from tests.support.builders import a_decision
from tests.support.redis_server import RedisServer
from triage.decision.types import Priority
from triage.worklist import index_keys as keys
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_state import FirstToRead
from triage.worklist.study_table import StudyTable


@pytest.fixture
def index(redis_server: RedisServer) -> IndexedWorklist:
    return IndexedWorklist(redis_server.client())


def test_each_kind_of_change_names_its_study(index: IndexedWorklist) -> None:
    index.put_all([a_decision("1.2.1"), a_decision("1.2.2")])
    count = index.state.changed_since(-1).count
    for change, study in (
        (lambda: index.read("1.2.1", "c" * 64, 5.0), "1.2.1"),
        (lambda: index.unread("1.2.1"), "1.2.1"),
        (lambda: index.put(a_decision("1.2.3")), "1.2.3"),
        (lambda: index.remove("1.2.2"), "1.2.2"),
    ):
        change()
        changes = index.state.changed_since(count)
        assert changes.studies == {study}
        assert changes.count == count + 1
        count = changes.count
    assert index.state.changed_since(count).studies == frozenset()


@pytest.mark.parametrize("harm", ["flushall", "no log", "a gap", "wrong type", "count set back", "no number"])
def test_a_log_that_lacks_changes_is_not_believed(redis_server: RedisServer, index: IndexedWorklist, harm: str) -> None:
    index.put_all(a_decision(f"1.2.{n}") for n in range(5))
    count = index.state.changed_since(-1).count
    index.put_all(a_decision(f"1.3.{n}") for n in range(3))
    client = redis_server.client()
    if harm == "flushall":
        client.flushall()
    elif harm == "no log":
        client.delete(keys.CHANGED)
    elif harm == "a gap":
        client.zremrangebyscore(keys.CHANGED, "-inf", count + 1)
    elif harm == "wrong type":
        client.delete(keys.CHANGED)
        client.set(keys.CHANGED, "x")
    elif harm == "count set back":
        client.set(keys.CHANGES, 2)
    else:
        client.set(keys.CHANGES, "x")
    assert index.state.changed_since(count).studies is None


@pytest.mark.parametrize("cap_s", [0.0, 40.0, 1e6])
def test_what_comes_first_is_counted_as_the_reading_order_has_it(index: IndexedWorklist, cap_s: float) -> None:
    decisions = [
        a_decision(f"1.2.{n}", priority=list(Priority)[n % 3], received_at=float(n), tagged_at=float(n))
        for n in range(100)
    ]
    index.put_all(decisions)
    others = [each for each in decisions if each.priority is not Priority.HIGH]
    late = sum(bool(cap_s) and 100.0 - each.received_at > cap_s for each in others)
    assert index.state.first_to_read(100.0, cap_s) == FirstToRead(34, late)
    assert index.state.last_result_at() == 99.0


def test_a_copy_follows_the_index_and_reads_anew_what_was_changed_behind_its_back(
    redis_server: RedisServer, index: IndexedWorklist
) -> None:
    now = [0.0]
    table = StudyTable(index, lambda: now[0])
    index.put_all(a_decision(f"1.2.{n}") for n in range(4))
    table.refresh()
    index.read("1.2.0", "c" * 64, 5.0)
    index.remove("1.2.1")
    index.put(a_decision("1.2.2", priority=Priority.HIGH, sequence=1))
    table.refresh()
    assert {uid: each.priority for uid, each in table.decisions.items()} == {"1.2.2": "HIGH", "1.2.3": "MEDIUM"}
    redis_server.client().hset(keys.ENTRIES, "1.2.3", keys.entry(a_decision("1.2.3", accession_number="new")))
    table.refresh()
    assert table.decisions["1.2.3"].accession_number == "A1"
    now[0] = 61.0
    table.refresh()
    assert table.decisions["1.2.3"].accession_number == "new"
    redis_server.client().hset(keys.ENTRIES, "1.2.3", "{")
    now[0] = 122.0
    table.refresh()
    assert not table.is_whole
    assert index.doubted() == {b"1.2.3"}


def test_a_list_that_takes_long_to_read_is_read_anew_less_often(
    redis_server: RedisServer, index: IndexedWorklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, read = [0.0], index.listed_entries

    def slow() -> list[tuple[str, bytes | None]]:
        now[0] += 10.0
        return read()

    monkeypatch.setattr(index, "listed_entries", slow)
    table = StudyTable(index, lambda: now[0])
    index.put(a_decision("1.2.3"))
    table.refresh()
    redis_server.client().hset(keys.ENTRIES, "1.2.3", keys.entry(a_decision("1.2.3", accession_number="new")))
    now[0] = 199.0
    table.refresh()
    assert (now[0], table.decisions["1.2.3"].accession_number) == (199.0, "A1")
    now[0] = 211.0
    table.refresh()
    assert table.decisions["1.2.3"].accession_number == "new"
