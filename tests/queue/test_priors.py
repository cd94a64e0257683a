"""Priors are scored at lower rank: behind what somebody waits for, never lost, and not last for ever."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.test_kill_points import DYING, KILLED
from tests.support.dicom_peer import store
from tests.support.in_process_worker import Workplace
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import ROLE, Roles, a_chest, assert_one_result_each, is_done, read_bytes, receive, roles
from tests.support.tiny_adult import sessions
from tests.support.wait import wait_for
from triage.model.session import ModelSession
from triage.operations.reconcile import SharedState, sweep
from triage.operations.retention import AgeLimits
from triage.queue.priors import is_prior, oldest_awaited
from triage.queue.score_queue import PRIORS, QUEUE, STAT
from triage.runtime.child_pool import DecodePool
from triage.runtime.sockets import open_port
from triage.scoring.worker import BATCHES_BEFORE_PRIORS
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

__all__ = ["sessions"]  # a fixture


def with_dates(file: bytes, date: str) -> bytes:
    """A radiograph that was taken on ``date``."""
    from io import BytesIO

    from pydicom import dcmwrite

    dataset = read_bytes(file)
    for keyword in ("AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate"):
        setattr(dataset, keyword, date)
    if "AcquisitionDateTime" in dataset:
        del dataset.AcquisitionDateTime
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def fresh_one(number: int) -> bytes:
    return with_dates(a_chest(number), time.strftime("%Y%m%d"))


def old(number: int) -> bytes:
    return with_dates(a_chest(number), "20150301")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult", bias=-10)
    return folder


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def place(spool: Spool, redis_server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool) -> Workplace:
    return Workplace(spool, redis_server, sessions, pool)


def decided(place: Workplace, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[int], None]) -> list[str]:
    """The studies in the order in which they are decided; ``meanwhile`` is called with their number so far."""
    order: list[str] = []
    write = Spool.write_decision

    def noting(self: Spool, study: str, decision: dict[str, Any]) -> None:
        write(self, study, decision)
        order.append(study)
        meanwhile(len(order))

    monkeypatch.setattr(Spool, "write_decision", noting)
    return order


def test_a_fresh_study_waits_for_one_batch_of_priors_at_most(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    place.queued(*(a_chest(number) for number in range(20)), prior=True)
    fresh = [receive(place.spool, a_chest(100 + number)) for number in range(2)]

    def arrive(count: int) -> None:
        if count == 6:  # in the midst of a batch
            for instance in fresh:
                place.jobs.enqueue(instance)

    order = decided(place, monkeypatch, arrive)
    place.work(batch_size=4)
    assert len(order) == 22
    places = [order.index(instance.study_instance_uid) for instance in fresh]
    assert max(places) < 6 + 3 + len(fresh), "the rest of the batch that was in work, and none other"
    assert is_done(place.spool)
    assert place.registry.get_sample_value("cxr_triage_jobs_taken_total", {"queue": PRIORS}) == 19
    assert place.registry.get_sample_value("cxr_triage_jobs_taken_total", {"queue": QUEUE}) == 3


def test_what_is_fresh_goes_first_and_priors_have_their_turn_all_the_same(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = place.queued(*(a_chest(number) for number in range(BATCHES_BEFORE_PRIORS + 4)))
    priors = place.queued(*(a_chest(100 + number) for number in range(2)), prior=True)
    order = decided(place, monkeypatch, lambda count: None)
    place.work(batch_size=1)
    places = [order.index(instance.study_instance_uid) for instance in priors]
    assert BATCHES_BEFORE_PRIORS <= places[0] < len(fresh)
    assert places[1] == len(order) - 1


def test_a_prior_that_fails_is_tried_again_as_a_prior_and_given_up_like_any(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.queued(a_chest(0))
    priors = place.queued(a_chest(1), a_chest(2), prior=True)

    def broken(path: Path, *arguments: Any) -> Any:
        raise OSError

    monkeypatch.setattr("triage.scoring.batch.open_file", broken)
    place.work(tries=2)
    assert {instance for instance, _ in place.spool.dead_letters()} >= set(priors)
    # The last one goes into the first queue, because nothing else waits.
    assert place.registry.get_sample_value("cxr_triage_jobs_taken_total", {"queue": PRIORS}) >= 3
    assert place.jobs.depth() == 0


def test_the_date_of_an_object_says_whether_it_is_a_prior(spool: Spool) -> None:
    new, past = receive(spool, fresh_one(1)), receive(spool, old(2))
    dateless = receive(spool, with_dates(a_chest(3), ""))
    broken = receive(spool, old(4))
    spool.inbox_path(broken).write_bytes(b"broken")
    files = {"new": new, "past": past, "dateless": dateless, "broken": broken}
    assert [name for name, each in files.items() if is_prior(spool, each, 30.0)] == ["past"]
    assert not is_prior(spool, past, 0.0)
    spool.file(past)
    assert not is_prior(spool, past, 30.0), "tagged meanwhile"


def test_an_emptied_redis_gives_priors_their_rank_again(place: Workplace) -> None:
    def prior(instance: ReceivedInstance) -> bool:
        return is_prior(place.spool, instance, 30.0)

    priors = [receive(place.spool, old(number)) for number in range(5)]
    fresh = receive(place.spool, fresh_one(9))
    place.jobs.enqueue(priors[0], prior=True)
    place.client.flushall()
    place.jobs.enqueue(fresh)
    sweep(SharedState(place.spool, place.jobs, place.index), place.metrics, AgeLimits(now=1e9), is_prior=prior)
    assert place.jobs.depths() == {QUEUE: 1, PRIORS: 5, STAT: 0}
    came = place.spool.inbox_path(fresh).stat().st_mtime
    assert oldest_awaited(place.spool, place.jobs.is_of_priors, at_once=2) == came
    place.work()
    assert is_done(place.spool)
    assert oldest_awaited(place.spool, place.jobs.is_of_priors) == 0


def test_priors_of_which_no_worker_was_told_are_found_by_the_sweep(place: Workplace) -> None:
    priors = place.queued(*(a_chest(number) for number in range(3)), prior=True)
    place.client.delete(f"rq:queue:{QUEUE}")  # its job was taken by a worker that then died
    place.work()
    assert not is_done(place.spool), "a worker waits for the first queue alone"
    place.sweep()
    place.work()
    assert is_done(place.spool)
    assert len(place.tags()) == len(priors)


@pytest.fixture
def running(tmp_path: Path, redis_server: RedisServer, models: Path) -> Iterator[Roles]:
    settings = {"worker_batch_size": "2", "decision_prior_after_days": "30"}
    with roles(tmp_path, redis_server.url, models, **settings) as running:
        yield running


@pytest.mark.parametrize("point", ["triage.scoring.batch:BatchScorer.score", "triage.spool.spool:Spool.sync"])
def test_a_worker_that_is_killed_with_priors_loses_none(
    running: Roles, redis_server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool, point: str
) -> None:
    place = Workplace(running.spool, redis_server, sessions, pool)
    instances = place.queued(*(old(number) for number in range(6)), prior=True)
    place.jobs.wake()
    assert running.start("before", point, "work", command=DYING).wait() == KILLED
    running.start("work", command=ROLE)
    wait_for(lambda: is_done(running.spool), "the next worker")
    assert_one_result_each(running.spool, running.redis_url, instances)


def test_the_listener_queues_an_old_study_behind_and_an_idle_worker_takes_it_at_once(
    running: Roles, redis_server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool
) -> None:
    place = Workplace(running.spool, redis_server, sessions, pool)
    with open_port("127.0.0.1", 0, shared=False) as free:
        port: int = free.getsockname()[1]
    running.settings["TRIAGE_LISTENER_PORT"] = str(port)
    listener = running.start("listen")
    wait_for(lambda: listener.said("listening as"), "the listener")
    for number in range(3):
        store(port, read_bytes(old(number)))
    store(port, read_bytes(fresh_one(9)))
    wait_for(lambda: place.jobs.depths() == {QUEUE: 2, PRIORS: 2, STAT: 0}, "four jobs")

    worker = running.start("work")
    wait_for(lambda: is_done(running.spool), "the worker")
    store(port, read_bytes(old(5)))
    wait_for(lambda: len(list(running.spool.study_uids())) == 5 and is_done(running.spool), "an idle worker")
    priors = [each["prior"] for each in running.spool.decisions()]
    assert sorted(priors) == [False, True, True, True, True]
    assert worker.terminate() == 0
