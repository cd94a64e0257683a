"""The index in Redis against the files: whatever was removed from it or changed in it, the sweep puts it right.

Each test says what must be so by the files; a checker compares all of Redis with what it was before the damage.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from tests.support.builders import a_decision, an_instance
from tests.support.redis_server import RedisServer
from triage.decision.records import to_record
from triage.decision.types import Priority, Tag
from triage.metrics.reconcile import ReconcileMetrics
from triage.operations.compare import ComparisonTurns, compare
from triage.operations.reconcile import SharedState, SweepResult, sweep
from triage.operations.retention import AgeLimits
from triage.queue.score_queue import ScoreQueue, job_id
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import DECISION, Spool
from triage.worklist import index_keys as keys
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_check import IndexCheck
from triage.worklist.reader_acts import Act, Marking, Via, mark

NOW = 1e6
KEYS = [*keys.LISTS.values(), keys.ENTRIES, keys.PLACES, keys.READ, keys.READ_AT, keys.ACCESSIONS]
QUEUE_KEYS = {
    "rq:queue:score": "list",
    "rq:queue:score:intermediate": "list",
    "rq:queue:score-priors": "list",
    "rq:queue:score-priors:intermediate": "list",
    "rq:queue:score-stat": "list",
    "rq:queue:score-stat:intermediate": "list",
    "rq:failed:score": "zset",
    "rq:queues": "set",
    "rq:workers": "set",
    "rq:workers:score": "set",
    "cxr-triage:failures": "hash",
    "cxr-triage:deaths": "hash",
    "cxr-triage:delays": "hash",
}


class House:
    """Twelve tagged studies, three of them read, and four objects that wait; swept until nothing is left to do."""

    def __init__(self, spool: Spool, server: RedisServer) -> None:
        self.spool = spool
        self.client: Redis = server.client()
        self.jobs, self.index = ScoreQueue(self.client), IndexedWorklist(self.client)
        self.registry = CollectorRegistry()
        self.metrics = ReconcileMetrics(self.registry)
        self.turns = ComparisonTurns()
        for number in range(12):
            self._tag(number)
        self.sweep()
        for number in range(3):
            mark(spool, self.index, f"1.2.{number}", Marking(Act.READ, NOW + number, "a", Via.PAGE))
        self.waiting = [self._arrive(number) for number in range(4)]
        self.sweep()
        assert self.sweep().repaired == 0
        self.before = self.picture()

    def _tag(self, number: int) -> None:
        priority = list(Priority)[number % 3]
        changes: dict[str, Any] = {"priority": priority, "received_at": 1000.0 + number, "sequence": 1}
        tag = Tag.ABNORMAL if priority is Priority.HIGH else Tag.NORMAL
        study = f"1.2.{number}"
        decision = a_decision(study, tag=tag, accession_number=f"A{number}" if number % 4 else "", **changes)
        self.spool.write_decision(study, to_record(decision))
        old = time.time() - 3600
        os.utime(self.spool.study_folder(study) / DECISION, (old, old))

    def _arrive(self, number: int) -> ReceivedInstance:
        instance = an_instance("1.9", f"1.9.{number}")
        self.spool.inbox_path(instance).write_bytes(b"object")
        return instance

    def sweep(self) -> SweepResult:
        comparing = partial(compare, self.spool, self.index, IndexCheck(self.client), self.metrics, self.turns)
        state = SharedState(self.spool, self.jobs, self.index)
        return sweep(state, self.metrics, AgeLimits(now=NOW), compare=comparing)

    def picture(self) -> dict[str, Any]:
        """All of the index, and what is queued."""
        read: dict[str, Callable[[str], Any]] = {
            "hash": self.client.hgetall,
            "zset": lambda name: dict(self.client.zrange(name, 0, -1, withscores=True)),
        }
        found = {name: read[keys.TYPES[name]](name) for name in KEYS}
        return {**found, "queued": self.jobs.waiting_ids(), "states": self.jobs.states(self.waiting)}

    def listed(self) -> list[str]:
        return [each.study_instance_uid for each in self.index.page(None, 100, NOW).entries]

    def repairs(self, what: str, of: str = "index") -> float:
        return self.registry.get_sample_value(f"cxr_triage_{of}_repairs_total", {"what": what}) or 0.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(append_only=False) as server:
        yield server


@pytest.fixture
def house(spool: Spool, server: RedisServer) -> House:
    server.client().flushall()
    return House(spool, server)


def a_study(rng: random.Random) -> str:
    return f"1.2.{rng.randrange(12)}"


def some_member(house: House, rng: random.Random) -> tuple[str, bytes]:
    name = rng.choice([each for each in keys.LISTS.values() if house.client.zcard(each)])
    return name, rng.choice(house.client.zrange(name, 0, -1))


def remove_from_a_list(house: House, rng: random.Random) -> None:
    house.client.zrem(*some_member(house, rng))


def remove_an_entry(house: House, rng: random.Random) -> None:
    house.client.hdel(keys.ENTRIES, a_study(rng))


def remove_a_place(house: House, rng: random.Random) -> None:
    house.client.hdel(keys.PLACES, a_study(rng))


def remove_every_trace_of_a_study(house: House, rng: random.Random) -> None:
    house.index.remove(a_study(rng))


def remove_a_key(house: House, rng: random.Random) -> None:
    house.client.delete(rng.choice(KEYS))


def give_a_wrong_score(house: House, rng: random.Random) -> None:
    name, member = some_member(house, rng)
    house.client.zadd(name, {member: rng.choice([-1, 5, 1e300, float("inf")])})


def move_to_a_wrong_list(house: House, rng: random.Random) -> None:
    name, member = some_member(house, rng)
    house.client.zrem(name, member)
    house.client.zadd(next(each for each in keys.LISTS.values() if each != name), {member: 0})


def add_to_a_second_list(house: House, rng: random.Random) -> None:
    name, member = some_member(house, rng)
    house.client.zadd(next(each for each in keys.LISTS.values() if each != name), {member: 0})


def lower_a_raised_study(house: House, rng: random.Random) -> None:
    uid = next(each for each in house.listed() if house.index.get(each).tag is Tag.ABNORMAL)  # type: ignore[union-attr]
    entry = json.loads(house.client.hget(keys.ENTRIES, uid) or b"")
    house.client.hset(keys.ENTRIES, uid, json.dumps({**entry, "tag": "NORMAL", "priority": "LOW"}))


def write_nonsense_into_an_entry(house: House, rng: random.Random) -> None:
    nonsense = [b"", b"\xff\xfe", b"[]", b"null", b"{}", b"7", b'{"tag": "HEALTHY"}', b"[" * 100_000, b"x" * 1_000_000]
    house.client.hset(keys.ENTRIES, a_study(rng), rng.choice(nonsense))


def write_an_odd_value_into_an_entry(house: House, rng: random.Random) -> None:
    uid = a_study(rng)
    entry = json.loads(house.client.hget(keys.ENTRIES, uid) or b"")
    odd = [float("nan"), float("inf"), 1e300, 10**400, -1, None, [], {}, True, "x", "\ud800", "x" * 100_000]
    house.client.hset(keys.ENTRIES, uid, json.dumps({**entry, rng.choice(list(entry)): rng.choice(odd)}))


def swap_two_entries(house: House, rng: random.Random) -> None:
    one, other = rng.sample([f"1.2.{number}" for number in range(12)], 2)
    found = house.client.hmget(keys.ENTRIES, [one, other])
    house.client.hset(keys.ENTRIES, mapping={one: found[1], other: found[0]})  # type: ignore[dict-item]


def fill_the_lists_with_what_is_no_text(house: House, rng: random.Random) -> None:
    for name in keys.LISTS.values():
        house.client.zadd(name, {b"\xff%d" % rng.randrange(10**9): 0 for _ in range(150)})


def write_nonsense_into_a_place(house: House, rng: random.Random) -> None:
    nonsense = [b"", b"\xff", b"1 2 3 4", b"999999 9e99 1 x", b"nan nan rq:queue:score x", b"a b c"]
    house.client.hset(keys.PLACES, a_study(rng), rng.choice(nonsense))


def put_a_place_into_the_future(house: House, rng: random.Random) -> None:
    uid = a_study(rng)
    place = (house.client.hget(keys.PLACES, uid) or b"").split(b" ")
    house.client.hset(keys.PLACES, uid, b" ".join([b"9999", b"9999999999.0", *place[2:]]))


def call_a_study_read(house: House, rng: random.Random) -> None:
    uid = rng.choice(house.listed())
    house.index.read(uid, house.index.get(uid).revision, NOW)  # type: ignore[union-attr]


def call_a_read_study_unread(house: House, rng: random.Random) -> None:
    house.index.unread(f"1.2.{rng.randrange(3)}")


def change_when_it_was_read(house: House, rng: random.Random) -> None:
    house.client.zadd(keys.READ_AT, {f"1.2.{rng.randrange(3)}": 5.0})


def add_strangers(house: House, rng: random.Random) -> None:
    stranger = rng.choice([b"1.7.7", b"\xff\x00\x01", b"[/b]\nERROR forged", b"x" * 300])
    house.client.hset(keys.ENTRIES, stranger, b"nonsense")
    house.client.hset(keys.PLACES, stranger, b"nonsense")
    house.client.hset(keys.READ, stranger, b"nonsense")
    for name in (*keys.LISTS.values(), keys.READ_AT, keys.ACCESSIONS):
        house.client.zadd(name, {stranger: 0, b"no place": 0, b"12|": 0})


def forge_an_accession_number(house: House, rng: random.Random) -> None:
    house.client.zadd(keys.ACCESSIONS, {f"A99\n{a_study(rng)}": 0})
    house.client.zrem(keys.ACCESSIONS, "A5\n1.2.5")


def make_the_counter_nonsense(house: House, rng: random.Random) -> None:
    house.client.set(keys.CHANGES, rng.choice([b"many", b"9223372036854775807", b"\xff", b"1.5"]))


def lose_a_queue_entry(house: House, rng: random.Random) -> None:
    house.client.lrem("rq:queue:score", 0, job_id(rng.choice(house.waiting)))


def lose_a_job(house: House, rng: random.Random) -> None:
    house.client.delete(f"rq:job:{job_id(rng.choice(house.waiting))}")


def give_a_job_to_nobody(house: House, rng: random.Random) -> None:
    """Give a job to a name that is no worker: of another lock, outside the folder, or no name at all."""
    name = rng.choice(["up", "deliver", "../VERSION", "..", "\0", "x" * 5000, "gone"])
    job = rng.choice(house.waiting)
    house.client.lrem("rq:queue:score", 0, job_id(job))
    house.client.hset(f"rq:job:{job_id(job)}", mapping={"status": "started", "worker_name": name})


def make_a_job_another_type(house: House, rng: random.Random) -> None:
    name = f"rq:job:{job_id(rng.choice(house.waiting))}"
    house.client.delete(name)
    house.client.sadd(name, "x")


def add_dangling_and_foreign_jobs(house: House, rng: random.Random) -> None:
    done = an_instance("1.8", "1.8.8")
    house.jobs.enqueue(done)
    house.client.lrem("rq:queue:score", 0, job_id(done))
    house.client.rpush("rq:queue:score", b"\xff\xfe", b"", b"a b")


DAMAGE = [
    some_member,
    remove_from_a_list,
    remove_an_entry,
    remove_a_place,
    remove_every_trace_of_a_study,
    remove_a_key,
    give_a_wrong_score,
    move_to_a_wrong_list,
    add_to_a_second_list,
    lower_a_raised_study,
    write_nonsense_into_an_entry,
    write_an_odd_value_into_an_entry,
    swap_two_entries,
    fill_the_lists_with_what_is_no_text,
    write_nonsense_into_a_place,
    put_a_place_into_the_future,
    call_a_study_read,
    call_a_read_study_unread,
    change_when_it_was_read,
    add_strangers,
    forge_an_accession_number,
    make_the_counter_nonsense,
    lose_a_queue_entry,
    lose_a_job,
    give_a_job_to_nobody,
    make_a_job_another_type,
    add_dangling_and_foreign_jobs,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda each: each.__name__)
def test_one_sweep_puts_right_whatever_was_damaged(
    house: House, damage: Callable[[House, random.Random], None]
) -> None:
    with house.spool.workers.hold("up"), house.spool.workers.hold("deliver"):
        for seed in range(3):
            damage(house, random.Random(seed))
            house.sweep()
            assert house.picture() == house.before, seed
            assert set(house.listed()) == {f"1.2.{number}" for number in range(3, 12)}
            assert house.index.changes() >= 0


def test_many_kinds_of_damage_at_once_are_put_right(house: House) -> None:
    rng = random.Random(7)
    for _ in range(10):
        for damage in rng.choices(DAMAGE, k=6):
            damage(house, rng)
            house.index.page(None, 100, NOW)
        house.sweep()
        house.sweep()
        assert house.picture() == house.before


@pytest.mark.parametrize("name", [*keys.TYPES, *QUEUE_KEYS])
def test_a_key_of_every_wrong_type_stops_neither_the_list_nor_the_queue(house: House, name: str) -> None:
    wrong: dict[str, Callable[[], object]] = {
        "string": lambda: house.client.set(name, "x"),
        "list": lambda: house.client.rpush(name, "x"),
        "hash": lambda: house.client.hset(name, "x", "y"),
        "zset": lambda: house.client.zadd(name, {"x": 1}),
        "set": lambda: house.client.sadd(name, "x"),
    }
    right = {**keys.TYPES, **QUEUE_KEYS}[name]
    for kind, write in wrong.items():
        if kind == right:
            continue
        house.client.delete(name)
        write()
        house.index.page(None, 100, NOW)
        house.index.count()
        house.index.changes()
        house.index.last_read(10)
        house.index.with_accession_number("A5")
        house.index.put(house.index.get("1.2.5") or a_decision("1.2.5"))
        house.sweep()
        assert house.picture() == house.before, (name, kind)


def test_places_that_name_one_another_s_studies_are_put_right_in_one_sweep(house: House) -> None:
    places = house.client.hgetall(keys.PLACES)
    names = list(places)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        house.client.hset(keys.PLACES, name, places[other])  # type: ignore[arg-type]
    house.sweep()
    assert house.picture() == house.before


@pytest.mark.parametrize("name", [*KEYS, keys.BUILT, "rq:queue:score"])
def test_no_key_of_ours_goes_by_itself(house: House, name: str) -> None:
    assert house.client.expire(name, 3600)
    house.sweep()
    assert house.client.ttl(name) == -1


def test_a_bad_entry_is_skipped_and_the_list_says_that_it_is_not_whole(house: House) -> None:
    house.client.hset(keys.ENTRIES, "1.2.5", "nonsense")
    page = house.index.page(None, 100, NOW)
    assert (len(page.entries), page.skipped) == (8, 1)
    house.sweep()
    assert house.index.page(None, 100, NOW).skipped == 0
    assert house.repairs("entries") == 1


def test_what_was_repaired_is_counted_and_said(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.client.hdel(keys.PLACES, "1.2.5")
    house.client.rpush("rq:queue:score", b"\xff")
    assert house.sweep().repaired == 2
    assert (house.repairs("places"), house.repairs("id", "queue")) == (1, 1)
    assert "differed from the files of study 1.2.5" in caplog.text


def test_every_study_has_its_turn_where_numbers_and_names_add_up(house: House) -> None:
    """A wrong value changes no number: it is found when the study's turn has come, and no sweep looks at all."""
    house.turns.in_turn = 5
    entry = json.loads(house.client.hget(keys.ENTRIES, "1.2.5") or b"")
    house.client.hset(keys.ENTRIES, "1.2.5", json.dumps({**entry, "probability": 0.001}))
    assert sum(house.sweep().repaired for _ in range(3)) == 1
    assert house.picture() == house.before


def test_a_sweep_reads_the_names_of_the_studies_whose_turn_it_is_and_of_no_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(spool: Spool) -> Iterator[str]:
        for uid in every(spool):
            read.append(uid)
            yield uid

    every = Spool.study_uids
    monkeypatch.setattr(Spool, "study_uids", counted)
    for parent in house.spool.studies.iterdir():
        os.utime(parent, (1e9, 1e9))  # long ago: two sweeps in one moment would read it twice
    house.turns.in_turn = 2
    for _ in range(3):
        house.sweep()
    read.clear()
    monkeypatch.setattr("triage.spool.study_folders._uids", None)  # no parent is read either
    house.sweep()
    assert len(read) == 2


@pytest.mark.parametrize("damage", [remove_every_trace_of_a_study, remove_an_entry, remove_a_place, remove_from_a_list])
def test_what_is_lost_is_found_by_the_next_sweep_whosever_turn_it_is(
    house: House, damage: Callable[[House, random.Random], None]
) -> None:
    for parent in house.spool.studies.iterdir():
        os.utime(parent, (1e9, 1e9))
    house.sweep()
    house.turns.in_turn = 1  # and twelve are kept
    house.turns.rest = iter(())
    damage(house, random.Random(1))
    house.sweep()
    assert house.picture() == house.before


def test_a_study_that_came_or_went_is_no_reason_to_read_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.sweep()
    house._tag(12)
    house.index.remove("1.2.3")
    house.spool.remove_study("1.2.3")
    monkeypatch.setattr(IndexCheck, "studies", None)  # all names of the index
    house.sweep()
    assert "1.2.12" in house.listed()
    assert house.sweep().repaired == 0


def test_a_decision_that_the_worker_is_about_to_index_is_put_in_and_not_counted(house: House) -> None:
    newer = a_decision("1.2.5", priority=Priority.HIGH, sequence=2, accession_number="A5", revision="e" * 64)
    house.spool.write_decision("1.2.5", to_record(newer))
    assert house.sweep().repaired == 0
    assert house.index.get("1.2.5") == newer
    house.index.put(newer)  # and now the worker does


@pytest.mark.parametrize("moves", [False, True])
def test_what_a_worker_does_while_strangers_are_looked_for_is_no_repair(
    house: House, server: RedisServer, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    """Behind each of the check's commands a study is put in, or one goes to another place of the list."""
    worker, asked, turns = IndexedWorklist(server.client()), house.client.execute_command, itertools.count(1)

    def meanwhile(*command: Any, **options: Any) -> Any:
        found, turn = asked(*command, **options), next(turns)
        study = "1.2.99" if moves else f"1.2.{100 + turn}"
        priority = list(Priority)[turn % 3]
        worker.put(a_decision(study, priority=priority, sequence=turn, revision=f"{turn:064}", accession_number=study))
        return found

    monkeypatch.setattr(house.client, "execute_command", meanwhile)
    assert IndexCheck(house.client).remove_strays(lambda uid: True) == 0
    assert next(turns) > 5
    assert IndexCheck(server.client()).adds_up()


def test_a_job_that_a_living_worker_does_not_have_is_queued_again(house: House) -> None:
    job = house.waiting[0]

    def started_by(worker: str) -> None:
        house.client.lrem("rq:queue:score", 0, job_id(job))
        house.client.hset(f"rq:job:{job_id(job)}", mapping={"status": "started", "worker_name": worker})

    with house.spool.workers.hold("w"):
        house.client.hset("rq:worker:w", "state", "busy")
        started_by("w")
        assert house.sweep().requeued == 0
        house.client.hset("rq:worker:w", "state", "idle")
        assert house.sweep().requeued == 1


def test_a_refused_job_is_left_for_a_person_to_see(house: House) -> None:
    house.client.hset("rq:job:score_foreign", mapping={"status": "failed", "data": "x"})
    house.client.hset("rq:job:score_gone", mapping={"status": "queued", "data": "x"})
    house.sweep()
    assert house.client.exists("rq:job:score_foreign")
    assert not house.client.exists("rq:job:score_gone")
    assert house.repairs("job", "queue") == 1
