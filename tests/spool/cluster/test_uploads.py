"""Uploads that are stopped at each step, that race with each other and with the sweep."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spool.test_store_contract import CONTENT, A, B, receive, tag
from tests.support.builders import an_instance
from tests.support.child_process import Child
from tests.support.cluster import Cluster
from tests.support.failing_buckets import ActingBucket, AwayBucket, Gate, KillingBucket, RefusingBucket, StartingBucket
from triage.operations.retention import AgedStudies, AgeLimits, remove_aged
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.removal import Removal
from triage.spool.cluster.uploads import PART
from triage.worklist.table.worklist import TableWorklist


def test_a_bucket_that_refuses_is_told_from_an_object_that_is_not_there(cluster: Cluster):
    assert cluster.open().gives_objects()
    assert not cluster.open(AwayBucket(cluster.bucket.folder)).gives_objects()


def test_a_bucket_that_knows_its_keys_and_gives_no_bytes_is_told_from_one_lost_object(cluster: Cluster):
    store, folder = cluster.open(), cluster.bucket.folder
    receive(store, A)
    assert cluster.open(StartingBucket(folder)).gives_objects()  # the one there is may be the one that is lost
    receive(store, B)
    assert not cluster.open(StartingBucket(folder)).gives_objects()
    stored = store.stored_object(A)
    assert stored is not None and cluster.open(StartingBucket(folder, lost=(stored.key,))).gives_objects()


def test_a_bucket_that_knows_none_of_our_objects_gives_none(cluster: Cluster):
    store = cluster.open()
    receive(store, A)
    receive(store, B)
    lost, other = cluster.keys()
    cluster.bucket.delete(lost)
    assert store.gives_objects()
    cluster.bucket.delete(other)
    assert not store.gives_objects()


def test_a_few_objects_that_are_lost_for_good_do_not_stand_for_the_bucket(cluster: Cluster):
    """Were those that are tried always the same, nothing would ever be given up or sent, once they are lost."""
    store = cluster.open()
    uids = [f"1.2.{number}" for number in range(1, 9)]
    for uid in uids:
        receive(store, an_instance(study=uid, sop=f"{uid}.4", content=uid.encode()))
    lost = [next(iter(store.objects_of(uid))) for uid in (*uids[:2], *uids[-2:])]
    keys = [stored.key for each in lost if (stored := store.stored_object(each)) is not None]
    for key in keys:
        cluster.bucket.delete(key)
    assert len(keys) == 4 and any(store.gives_objects() for _ in range(100))


def killed_at(cluster: Cluster, step: str, act: Callable[[ClusterStore], object]) -> None:
    """Run ``act`` in a process that its bucket kills at the step."""

    def child(tell: Callable[[str], None], _: object) -> None:
        act(cluster.open(KillingBucket(cluster.bucket.folder, step), upload_deadline_s=0.0))
        tell("it lives")

    with Child(child) as process:
        assert process.line() == ""


def sweep(store: ClusterStore) -> None:
    store.remove_old_parts(time.time() + 60)


def parts(cluster: Cluster) -> list[Path]:
    return list(cluster.address.scratch.iterdir())


def listed(cluster: Cluster) -> list[object]:
    return [state for (state,) in cluster.rows("SELECT state FROM bucket_key WHERE tenant = :tenant")]


@pytest.mark.parametrize("step", ["before put", "after put"])
def test_a_process_that_is_killed_in_an_upload_leaves_nothing_that_is_seen(cluster: Cluster, step: str):
    killed_at(cluster, step, lambda store: receive(store, A))
    store = cluster.open(upload_deadline_s=0.0)
    assert list(store.waiting()) == [] and store.stored_object(A) is None
    assert listed(cluster) == ["uploading"] and len(parts(cluster)) == 1
    assert len(cluster.keys()) == (step == "after put")

    sweep(store)
    assert cluster.keys() == listed(cluster) == parts(cluster) == []
    assert receive(store, A)  # the sender tries again
    assert store.waiting_object(A).read_bytes() == CONTENT


@pytest.mark.parametrize("step", ["before delete", "after delete"])
def test_a_sweep_that_is_killed_is_done_again(cluster: Cluster, step: str):
    killed_at(cluster, "after put", lambda store: receive(store, A))
    killed_at(cluster, step, sweep)
    assert listed(cluster) == ["dead"] and len(cluster.keys()) == (step == "before delete")
    sweep(cluster.open(upload_deadline_s=0.0))
    assert cluster.keys() == listed(cluster) == []


def test_a_process_that_is_killed_after_the_commit_has_kept_it(cluster: Cluster):
    def child(tell: Callable[[str], None], _: object) -> None:
        receive(cluster.open(upload_deadline_s=0.0), A)
        tell("kept")
        time.sleep(60)

    with Child(child) as process:
        assert process.line() == "kept"
    store = cluster.open(upload_deadline_s=0.0)
    sweep(store)
    assert list(store.waiting()) == [A] and store.waiting_object(A).read_bytes() == CONTENT
    assert not receive(store, A)


def test_the_same_content_from_two_processes_at_once_is_one_object(cluster: Cluster):
    together = multiprocessing.get_context("fork").Barrier(2)

    def child(tell: Callable[[str], None], _: object) -> None:
        store = cluster.open(ActingBucket(cluster.bucket.folder, after=lambda: together.wait(60)))
        tell(str(receive(store, A)))

    with Child(child) as one, Child(child) as other:
        assert sorted([one.line(), other.line()]) == ["False", "True"]
    store = cluster.open()
    assert list(store.waiting()) == [A] and len(cluster.keys()) == 2
    sweep(store)
    assert len(cluster.keys()) == 1 and store.waiting_object(A).read_bytes() == CONTENT and listed(cluster) == []


def test_an_upload_that_the_sweep_gave_up_does_not_become_an_object(cluster: Cluster):
    gate, outcome = Gate(), list[object]()
    slow = cluster.open(ActingBucket(cluster.bucket.folder, before=gate.wait), upload_deadline_s=0.0)

    def upload() -> None:
        try:
            outcome.append(receive(slow, A))
        except OSError as error:
            outcome.append(error.errno)

    thread = threading.Thread(target=upload)
    thread.start()
    assert gate.reached.wait(60)
    store = cluster.open(upload_deadline_s=600.0)
    sweep(store)
    assert listed(cluster) == ["dead"]
    gate.opened.set()
    thread.join(60)
    assert outcome == [errno.ETIMEDOUT] and list(store.waiting()) == [] and cluster.keys() == []


def test_bytes_that_come_when_their_process_is_dead_and_the_sweep_was_there_are_deleted(cluster: Cluster):
    killed_at(cluster, "before put", lambda store: receive(store, A))
    sweep(cluster.open(upload_deadline_s=600.0))
    ((key,),) = cluster.rows("SELECT key FROM bucket_key WHERE tenant = :tenant")
    (cluster.bucket.folder / str(key).replace("/", "%2F")).write_bytes(CONTENT)  # what was on its way
    assert cluster.keys() == [key]
    sweep(cluster.open(upload_deadline_s=600.0))
    assert cluster.keys() == [] and listed(cluster) == ["dead"]  # and once more, until its time has passed


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_bucket_that_refuses_is_told_and_leaves_no_row(cluster: Cluster, number: int):
    def refuse() -> None:
        raise OSError(number, "refused")

    store = cluster.open(ActingBucket(cluster.bucket.folder, after=refuse))
    with pytest.raises(OSError, match="refused") as caught:
        receive(store, A)
    assert caught.value.errno == number
    assert list(store.waiting()) == [] and listed(cluster) == ["dead"] and cluster.keys() == []


def test_a_database_that_restarts_during_the_put_takes_the_row(cluster: Cluster):
    def restart() -> None:
        cluster.server.stop()
        cluster.server.start()

    store = cluster.open(ActingBucket(cluster.bucket.folder, after=restart))
    assert receive(store, A)
    assert list(cluster.open().waiting()) == [A] and listed(cluster) == []


def test_a_database_that_stops_during_the_put_is_told_and_loses_nothing(cluster: Cluster):
    store = cluster.open(ActingBucket(cluster.bucket.folder, after=cluster.server.stop), upload_deadline_s=0.0)
    try:
        with pytest.raises(ConnectionRefusedError):
            receive(store, A)
    finally:
        cluster.server.start()
    assert list(store.waiting()) == [] and listed(cluster) == ["uploading"]
    sweep(store)
    assert cluster.keys() == listed(cluster) == []


def test_keys_of_a_removed_study_and_of_quarantine_go_with_the_next_sweep(cluster: Cluster):
    store = cluster.open()
    receive(store, A)
    tag(store, A)
    upload = store.begin_upload()
    upload.write(memoryview(b"no DICOM"))
    store.set_aside(upload, "why")
    upload.discard()
    assert len(cluster.keys()) == 2
    with store.study_lock("1.2.3"):
        store.remove_study("1.2.3")
    store.entries("quarantine").clear()
    assert len(cluster.keys()) == 2 and listed(cluster) == ["dead", "dead"]
    sweep(store)
    assert cluster.keys() == listed(cluster) == []


def test_a_removal_that_is_undone_keeps_the_keys(cluster: Cluster):
    store = cluster.open()
    receive(store, A)
    tag(store, A)
    with pytest.raises(ZeroDivisionError), store.study_lock("1.2.3"):
        store.remove_study("1.2.3")
        raise ZeroDivisionError
    sweep(store)
    found = store.stored_object(A)
    assert found is not None and found.read_bytes() == CONTENT and store.decision("1.2.3") is not None


def dead_keys(cluster: Cluster, count: int) -> None:
    """List keys that the sweep has to delete, and whose time is over."""
    for number in range(count):
        cluster.server.run(
            "INSERT INTO bucket_key (key, tenant, partition, state, deadline) "
            "VALUES (:key, :tenant, '', 'dead', clock_timestamp() - interval '1 hour')",
            key=f"{cluster.address.tenant}/main/x/{number}",
            tenant=cluster.address.tenant,
        )


def test_dead_keys_go_while_a_clock_is_in_doubt_and_nothing_else_does(cluster: Cluster):
    """A part of this machine, and an upload past its deadline, which may end yet, wait for a clock that is steady."""
    dead_keys(cluster, 3)
    cluster.rows("UPDATE bucket_key SET state = 'uploading' WHERE key LIKE '%/2' AND tenant = :tenant RETURNING 1")
    store = cluster.open()
    part = store._engines.scratch / f"old{PART}"
    part.touch()
    os.utime(part, (1.0, 1.0))
    limits = AgeLimits(time.time(), retention_days=1.0, clock_is_steady=False)
    assert remove_aged(store, TableWorklist(store, store.tables), limits) == AgedStudies()
    assert listed(cluster) == ["uploading"]
    assert part.exists()


class TestABucketThatIsAway:
    @pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ENXIO])
    def test_the_sweep_asks_it_once_and_goes_on_with_the_rest_of_its_work(self, cluster: Cluster, number: int):
        dead_keys(cluster, 5)
        away = RefusingBucket(cluster.bucket.folder, number)
        sweep(cluster.open(away))
        assert len(away.asked) == 1 and listed(cluster) == ["dead"] * 5
        sweep(cluster.open())
        assert listed(cluster) == []

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN, errno.EIO])
    def test_a_key_that_it_refuses_keeps_no_other_from_being_deleted(self, cluster: Cluster, number: int):
        dead_keys(cluster, 5)
        refusing = RefusingBucket(cluster.bucket.folder, number)
        sweep(cluster.open(refusing))
        assert len(refusing.asked) == 5

    def test_the_sweep_ends_when_its_time_is_over_and_the_next_one_goes_on(self, cluster: Cluster):
        dead_keys(cluster, 5)
        store, now = cluster.open(), iter(range(0, 10_000, 5))
        removal = Removal(store._engines, store._scope, lambda: float(next(now)))
        removal.remove_old_parts(0.0)
        assert 0 < len(listed(cluster)) < 5
        sweep(store)
        assert listed(cluster) == []

    def test_a_sender_is_refused_without_a_second_wait(self, cluster: Cluster):
        away = RefusingBucket(cluster.bucket.folder)
        with pytest.raises(TimeoutError):
            receive(cluster.open(away), A)
        assert away.asked == [] and listed(cluster) == ["dead"]
        answers = RefusingBucket(cluster.bucket.folder, errno.EIO)
        with pytest.raises(OSError):
            receive(cluster.open(answers), A)
        assert len(answers.asked) == 1

    def test_a_host_that_stands_by_removes_its_own_parts_and_asks_nothing(self, cluster: Cluster):
        killed_at(cluster, "before put", lambda store: receive(store, A))
        dead_keys(cluster, 2)
        bucket = RefusingBucket(cluster.bucket.folder)
        store = cluster.open(bucket, upload_deadline_s=0.0)
        assert len(parts(cluster)) == 1
        store.remove_local_parts(time.time() + 60)
        assert parts(cluster) == [] and bucket.asked == []
        assert sorted(map(str, listed(cluster))) == ["dead", "dead", "uploading"]
