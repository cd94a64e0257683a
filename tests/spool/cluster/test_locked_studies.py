"""A study that another process holds for longer than a statement may wait: its objects are for later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.spool.test_store_contract import A, B, receive, tag
from tests.support.cluster import Cluster
from tests.support.in_process_worker import Workplace
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.session import ModelSession
from triage.runtime.child_pool import DecodePool
from triage.scoring.study_decisions import StudyErrors
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.errors import LockedError


@contextmanager
def held(store: ClusterStore, study: str) -> Iterator[None]:
    """Hold a study's lock in another thread, and keep its transaction from standing still."""
    stop, has_it = threading.Event(), threading.Event()

    def hold() -> None:
        with store.study_lock(study):
            has_it.set()
            while not stop.wait(0.2):
                store.decision(study)

    holder = threading.Thread(target=hold)
    holder.start()
    assert has_it.wait(60)
    try:
        yield
    finally:
        stop.set()
        holder.join()


@pytest.fixture
def place(cluster: Cluster, redis_server: RedisServer, tmp_path: Path, pool: DecodePool) -> Workplace:
    card = write_model(tmp_path / "models", "tiny-adult", bias=-10)
    sessions = {card.name: ModelSession(tmp_path / "models" / card.name, card, threads=1)}
    return Workplace(cluster.open(statement_timeout_s=1.0), redis_server, sessions, pool)


def test_a_late_image_of_a_locked_study_waits_and_is_never_given_up(place: Workplace, cluster: Cluster):
    (first,) = place.queued(a_chest(0))
    place.work()
    study, store = first.study_instance_uid, place.spool
    late, elsewhere = place.queued(a_chest(0, age="003Y"), a_chest(7))  # no model is for that age
    with held(cluster.open(), study):
        for number in range(2):
            place.work(tries=1, name=f"w{number}")
            place.sweep()
            assert place.jobs.depth() == 0, "it is not tried again at once"
            place.end_pauses()
            place.sweep()
        assert store.is_filed(elsewhere) and list(store.waiting()) == [late]
        assert not list(store.dead_letters()) and len(store.assessments(study)) == 1
        assert not list(place.client.scan_iter("cxr-triage:failures"))
        assert place.counted("postponed_total", why="locked") == 2
    place.work(name="last")
    assert list(store.waiting()) == [] and not list(store.dead_letters())
    tag_of_study, reasons = place.tags()[study]
    assert tag_of_study is Tag.NOT_ASSESSED and Reason.WORKER_FAILURE not in reasons


def test_one_that_is_to_be_given_up_waits_for_the_lock_too(place: Workplace, cluster: Cluster):
    (first,) = place.queued(a_chest(0))
    place.work()
    (late,) = place.queued(a_chest(0, age="051Y"))
    with held(cluster.open(), first.study_instance_uid):
        left = place.scorer.give_up(late, "the decoder died", 3)
        assert left is not None and left.delay == "locked"
        assert place.spool.waits(late) and not list(place.spool.dead_letters())
    assert place.scorer.give_up(late, "the decoder died", 3) is None
    assert [letter for letter, _ in place.spool.dead_letters()] == [late]
    assert place.tags()[late.study_instance_uid] == (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,))


def test_a_lock_that_is_not_had_undoes_nothing_of_the_batch(cluster: Cluster):
    store, other = cluster.open(statement_timeout_s=1.0), cluster.open()
    for instance in (A, B):
        receive(store, instance)
    tag(store, A)
    errors = StudyErrors(store)
    with held(other, A.study_instance_uid), store.batch() as batch:
        for instance in (A, B):
            with errors.isolate(instance.study_instance_uid), store.study_lock(instance.study_instance_uid):
                store.write_decision(instance.study_instance_uid, {"revision": "r2"})
        batch.settle()
    assert errors.locked == set(errors.by_study) == {A.study_instance_uid}
    decisions = [store.decision(instance.study_instance_uid) for instance in (A, B)]
    assert decisions == [{"revision": "r1"}, {"revision": "r2"}]


def test_of_two_that_wait_for_each_other_the_one_that_is_ended_is_told_of_a_lock(cluster: Cluster):
    store, other = cluster.open(), cluster.open()
    for instance in (A, B):
        receive(store, instance)
        tag(store, instance)
    both, found = threading.Barrier(2), []

    def lock(of: ClusterStore, first: str, second: str) -> None:
        try:
            with of.study_lock(first):
                both.wait(60)
                with of.study_lock(second):
                    of.decision(second)
        except OSError as error:
            found.append(error)

    uids = (A.study_instance_uid, B.study_instance_uid)
    threads = [
        threading.Thread(target=lock, args=(store, *uids)),
        threading.Thread(target=lock, args=(other, *uids[::-1])),
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    (error,) = found
    assert isinstance(error, LockedError) and "40P01" in str(error)
