"""Rooms of the service on a store in PostgreSQL: the receive path, a worker's batches, a reader's act, retention."""

from __future__ import annotations

import errno
import threading
import time

import pytest

from tests.scoring.test_batch import DAY, Bench, Retention
from tests.spool.cluster.test_transactions import end_sessions, setting
from tests.support.cluster import Cluster
from tests.support.cluster_bench import bench, sessions, store
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive
from tests.support.wait import wait_for
from triage.decision.types import Tag
from triage.delivery.outbox import Outbox
from triage.operations.retention import AgeLimits, remove_old
from triage.scoring.batch import FailedInstance
from triage.spool.cluster.cluster_store import ClusterStore
from triage.worklist import reader_acts
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act

__all__ = ["bench", "sessions", "store"]  # fixtures


def read(store: ClusterStore, index: IndexedWorklist, uid: str) -> None:
    reader_acts.mark(store, index, uid, reader_acts.Marking(Act.READ, 1.0, "a", reader_acts.Via.PAGE))


def test_a_study_is_received_scored_read_and_removed(
    bench: Bench, store: ClusterStore, cluster: Cluster, redis_server: RedisServer
):
    assert bench.score(a_chest(0), a_chest(1)) == []
    uids = sorted(bench.indexed)
    assert list(store.waiting()) == [] and list(store.study_uids()) == uids
    outbox = Outbox(store)
    outbox.prepare(["pacs"])
    outbox.mark(uids[0], "pacs")
    assert outbox.is_undelivered(uids[0])
    outbox.unmark(uids[0], "pacs")

    index = IndexedWorklist(redis_server.client())
    read(store, index, uids[0])
    assert [act.act for act in reader_acts.acts_of(store, uids[0])] == [Act.READ]
    assert remove_old(store, index, AgeLimits(time.time() + 10 * DAY, 1.0)) == (1, 1)  # the other one is unread
    assert list(store.study_uids()) == uids[1:] and len(cluster.keys()) == 2
    store.remove_old_parts(time.time())
    assert len(cluster.keys()) == 1


def test_a_study_stays_on_the_list_until_its_reading_is_durable(
    bench: Bench, store: ClusterStore, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    bench.score(a_chest(0))
    uid = bench.only().study_instance_uid
    index = IndexedWorklist(redis_server.client())
    index.put_all([bench.only()])

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as refusing, pytest.raises(OSError, match="read-only"):
        refusing.setattr("triage.spool.cluster.transactions.commit", refuse)
        read(store, index, uid)
    assert reader_acts.acts_of(store, uid) == [] and listed(index) == [uid]
    read(store, index, uid)
    assert listed(index) == []


def listed(index: IndexedWorklist) -> list[str]:
    return [each.study_instance_uid for each in index.page(None, 10, time.time()).entries]


def test_what_comes_while_retention_removes_its_study_is_scored_and_counts(
    bench: Bench, store: ClusterStore, cluster: Cluster, redis_server: RedisServer
):
    bench.score(a_chest(0))
    uid = bench.only().study_instance_uid
    read(store, IndexedWorklist(redis_server.client()), uid)
    failed: list[FailedInstance] = []
    working = threading.Thread(target=lambda: failed.extend(bench.score(a_chest(0, view="LL"), a_chest(0, age="003Y"))))

    def until_the_worker_waits_for_the_study() -> None:
        working.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_for(lambda: cluster.server.run(waits), "the worker to wait for the study")

    retention = Retention(redis_server, until_the_worker_waits_for_the_study)
    assert remove_old(store, retention, AgeLimits(time.time() + 10 * DAY, 1.0)) == (1, 0)
    working.join(60)
    assert failed == []
    assert {each["age_years"] for each in store.assessments(uid)} == {50.0, 3.0}
    assert bench.only().tag is Tag.ABNORMAL and not list(store.waiting())


def test_a_database_that_takes_nothing_is_no_object_s_fault(bench: Bench, store: ClusterStore, cluster: Cluster):
    instance = receive(store, a_chest())  # type: ignore[arg-type]
    with setting(cluster, "default_transaction_read_only", "on"):
        with pytest.raises(OSError) as caught:
            bench.work([instance])
        assert caught.value.errno == errno.EROFS
    assert list(store.waiting()) == [instance] and bench.indexed == {}
    assert bench.work([instance]) == [] and store.is_filed(instance)


def test_a_session_that_is_lost_in_a_batch_is_no_object_s_fault(bench: Bench, store: ClusterStore, cluster: Cluster):
    instances = [receive(store, a_chest(number)) for number in range(3)]  # type: ignore[arg-type]
    write, written = store.write_decision, list[str]()

    def lose(uid: str, decision: dict[str, object]) -> None:
        write(uid, decision)
        if not written:
            end_sessions(cluster)
        written.append(uid)

    store.write_decision = lose  # type: ignore[method-assign]
    with pytest.raises(ConnectionResetError):
        bench.work(instances)
    assert bench.indexed == {} and sorted(store.waiting()) == sorted(instances)
    assert all(store.decision(each.study_instance_uid) is None for each in instances)
    assert bench.work(instances) == []
    assert len(bench.indexed) == 3 and list(store.waiting()) == []
