"""What is given up is known to the decision of its study, whatever fails: for both kinds of store."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.in_process_worker import Workplace
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest
from tests.support.tiny_adult import sessions
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.session import ModelSession
from triage.queue.score_queue import PAUSES_S
from triage.runtime.child_pool import DecodePool
from triage.scoring.batch import OpenError, open_file
from triage.spool.instance import ReceivedInstance
from triage.spool.open_store import open_store
from triage.spool.store import Store

__all__ = ["sessions"]  # a fixture

BROKEN = b"BROKEN"
STEPS = ("study_lock", "write_assessment", "write_decision", "assessments")


def open_unless_broken(stored: Any, *arguments: Any) -> Any:
    """open_file with a decoder that refuses some objects."""
    if BROKEN in stored.read_bytes():
        raise OpenError("the decoder refuses it")
    return open_file(stored, *arguments)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "implementation" in metafunc.fixturenames:
        there = ["files", *["postgres+s3"] * bool(metafunc.config.getoption("--cluster"))]
        metafunc.parametrize("implementation", there)


@pytest.fixture
def store(implementation: str, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if implementation == "postgres+s3":
        shared: Store = request.getfixturevalue("cluster").open()
        return shared
    return open_store(tmp_path / "spool")


@pytest.fixture
def place(
    store: Store,
    redis_server: RedisServer,
    sessions: dict[str, ModelSession],
    pool: DecodePool,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Workplace]:
    monkeypatch.setattr("triage.scoring.batch.open_file", open_unless_broken)
    yield Workplace(store, redis_server, sessions, pool)


def known_to_decision(store: Store, instance: ReceivedInstance) -> bool:
    """Return whether the study of a dead letter says that it is not assessed, for this very content."""
    decision = store.decision(instance.study_instance_uid)
    assessed = [
        each
        for each in store.assessments(instance.study_instance_uid)
        if (each["sop_instance_uid"], each["content_digest"]) == (instance.sop_instance_uid, instance.content_digest)
    ]
    return bool(decision and decision["tag"] != "NORMAL" and assessed and "worker_failure" in assessed[0]["reasons"])


def fail(monkeypatch: pytest.MonkeyPatch, store: Store, step: str, study: str) -> None:
    """Let one step of the store fail for one study."""
    right = getattr(type(store), step)

    def failing(self: Store, first: Any, *rest: Any) -> Any:
        if study in (first, getattr(first, "study_instance_uid", "")):
            raise OSError(errno.EACCES, "the study's place refuses")
        return right(self, first, *rest)

    monkeypatch.setattr(type(store), step, failing)


@pytest.mark.parametrize("step", STEPS)
def test_no_object_is_given_up_that_its_study_does_not_know(
    place: Workplace, store: Store, monkeypatch: pytest.MonkeyPatch, step: str
):
    (first,) = place.queued(a_chest(0))
    place.work()
    assert store.decision(first.study_instance_uid)["tag"] == "NORMAL"  # type: ignore[index]

    late, other = place.queued(a_chest(0, age="051Y").replace(b"PHANTOM^CHEST", b"BROKEN^CHEST_"), a_chest(7))
    with monkeypatch.context() as failing:
        fail(failing, store, step, late.study_instance_uid)
        for number in range(5):
            place.work(tries=2, name=f"w{number}")
            place.end_pauses()
            place.sweep()
        assert not list(store.dead_letters()) and list(store.waiting()) == [late]
        assert store.is_filed(other)
        assert place.counted("postponed_total", why="undecided") == 5
    place.work(tries=2, name="last")
    assert [letter for letter, _ in store.dead_letters()] == [late]
    assert known_to_decision(store, late)
    assert place.tags()[late.study_instance_uid] == (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,))


def test_an_object_that_every_worker_dies_of_waits_for_its_study_too(
    place: Workplace, store: Store, monkeypatch: pytest.MonkeyPatch
):
    (first,) = place.queued(a_chest(0))
    place.work()
    (late,) = place.queued(a_chest(0, age="051Y"))
    for _ in range(10):
        place.jobs.count_death(late)
    with monkeypatch.context() as failing:
        fail(failing, store, "write_decision", first.study_instance_uid)
        place.work(name="w1")
        assert store.waits(late)
        assert place.end_pauses() == 1
        place.sweep()
        assert place.jobs.deaths([late]) == [10]
    place.work(name="w2")
    assert [letter for letter, _ in store.dead_letters()] == [late] and known_to_decision(store, late)


def test_a_stop_before_the_decision_is_durable_gives_up_nothing(
    place: Workplace, store: Store, monkeypatch: pytest.MonkeyPatch
):
    (late,) = place.queued(a_chest(0).replace(b"PHANTOM^CHEST", b"BROKEN^CHEST_"))

    def no_space(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full, suppress(OSError):
        full.setattr(type(store), "write_decision", no_space)
        place.work(tries=1)
    assert store.waits(late) and not list(store.dead_letters())


def test_a_pause_ends_by_itself_and_nothing_is_queued_before(
    place: Workplace, store: Store, monkeypatch: pytest.MonkeyPatch
):
    (late,) = place.queued(a_chest(0).replace(b"PHANTOM^CHEST", b"BROKEN^CHEST_"))
    with monkeypatch.context() as failing:
        fail(failing, store, "write_decision", late.study_instance_uid)
        for number in range(3):
            place.work(tries=1, name=f"w{number}")
            place.sweep()
            assert place.jobs.depth() == 0
            (job,) = place.client.scan_iter("rq:job:*")
            assert 0 < place.client.ttl(job) <= PAUSES_S[-1]
            place.end_pauses()
            place.sweep()
            assert place.jobs.depth() == 1
    place.client.hset(job, mapping={"status": "scheduled"})  # as another program may write
    place.client.delete("rq:queue:score")
    place.sweep()
    assert place.jobs.depth() == 1
    place.work(tries=1, name="last")
    assert known_to_decision(store, late)
    assert not list(place.client.scan_iter("cxr-triage:delays"))
