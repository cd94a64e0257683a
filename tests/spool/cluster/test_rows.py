"""What the rows of tenants, groups and quotas say."""

from __future__ import annotations

import errno
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.spool.cluster.test_transactions import setting
from tests.spool.test_store_contract import CONTENT, A, B, receive, tag
from tests.support.cluster import Cluster, new_cluster
from tests.support.failing_buckets import Gate
from tests.support.wait import wait_for
from triage.operations.retention import AgeLimits, remove_old
from triage.spool.cluster import rows
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.fill_level import FillLevel
from triage.spool.cluster.study_groups import KEPT_S, ChangedStudies
from triage.spool.tables import Row, Value
from triage.spool.usage import HighWater
from triage.worklist.table.worklist import TableWorklist


def told(changes: ChangedStudies) -> list[str]:
    return sorted(uid for uids in changes.changed().values() for uid in uids)


def test_tenants_of_one_database_share_nothing(cluster: Cluster, tmp_path: Path):
    (tmp_path / "other").mkdir()
    other = new_cluster(cluster.server, tmp_path / "other")
    ours, theirs = cluster.open(), other.open()
    receive(ours, A)
    tag(ours, A)
    ours.entries("place").put("a", "")
    ours.model_switches.set_disabled("model", True)
    with ours.workers.hold("worker-1"), ours.study_lock("1.2.3"), theirs.study_lock("1.2.3"):
        assert theirs.workers.count() == (0, 0)
        theirs.study_entries("1.2.3").put("a", "")
    assert theirs.stored_object(A) is None and theirs.history("1.2.3") == [] and not theirs.entries("place").names()
    assert not theirs.model_switches.disabled() and theirs.installation_uid() != ours.installation_uid()
    theirs.remove_study("1.2.3")
    theirs.remove_old_parts(time.time() + 60)
    assert ours.decision("1.2.3") == {"revision": "r1"} and len(cluster.keys()) == 1
    other.close()


def test_a_change_that_is_committed_after_a_later_one_is_told(cluster: Cluster):
    store, other = cluster.open(), cluster.open()
    changes = store.study_changes()
    assert told(changes) == []
    with other.study_lock("1.2.3"):
        other.study_entries("1.2.3").put("a", "")
        with store.study_lock("1.2.4"):
            store.study_entries("1.2.4").put("a", "")
        assert told(changes) == ["1.2.4"]
    assert "1.2.3" in told(changes)
    assert told(changes) in ([], ["1.2.3"], ["1.2.3", "1.2.4"])  # perhaps again
    assert told(changes) == []


def test_an_observer_that_did_not_look_for_long_reads_all(cluster: Cluster):
    store, now = cluster.open(), [0.0]
    changes = ChangedStudies(store._engines, store._scope, clock=lambda: now[0])
    for instance in (A, B):
        receive(store, instance)
        tag(store, instance)
    assert told(changes) == ["1.2.3", "1.2.4"]
    store.remove_study("1.2.3")
    cluster.rows("DELETE FROM study_change WHERE tenant = :tenant")  # as the sweep does after a day
    now[0] = KEPT_S
    groups = changes.changed()
    assert sorted(groups.values()) == [[], ["1.2.4"]]


def test_many_objects_and_studies_are_read_in_pages(cluster: Cluster, monkeypatch):
    monkeypatch.setattr(rows, "PAGE", 2)
    store = cluster.open()
    instances = [replace(A, study_instance_uid=f"1.2.{n % 3}", sop_instance_uid=f"1.2.{n}.9") for n in range(7)]
    for instance in instances:
        receive(store, instance)
    assert sorted(store.waiting()) == sorted(instances)
    for instance in instances:
        tag(store, instance)
    assert list(store.study_uids()) == ["1.2.0", "1.2.1", "1.2.2"] and len(list(store.decisions())) == 3
    assert told(store.study_changes()) == ["1.2.0", "1.2.1", "1.2.2"]


def test_a_quota_is_filled_by_objects_and_the_database(cluster: Cluster):
    assert cluster.open().usage().used_fraction == 0.0
    receive(cluster.open(), A)
    usage = cluster.open(quota_bytes=10**10).usage()
    assert usage.total_bytes == 10**10 and 0 < usage.free_bytes < 10**10 - len(CONTENT)
    assert cluster.open(quota_bytes=len(CONTENT)).usage().used_fraction == 1.0
    assert HighWater(fraction=0.9, min_free_bytes=0).reached(cluster.open(quota_bytes=1))


def levels(cluster: Cluster) -> tuple[FillLevel, list[float], list[OSError], list[str]]:
    """A fill level with its clock, the errors that its next questions end with, and the questions that were asked."""
    store, now, errors, asked = cluster.open(quota_bytes=10**10), [0.0], list[OSError](), list[str]()
    level, real = FillLevel(store._engines, store._scope, clock=lambda: now[0]), store._database.read

    class Refusing:
        def read(self, sql: str, **values: Value) -> list[Row]:
            asked.append(sql)
            if errors:
                raise errors.pop()
            return real(sql, **values)

    level._database = Refusing()  # type: ignore[assignment]
    return level, now, errors, asked


def late() -> OSError:
    return OSError(errno.ETIMEDOUT, "of the test")


def test_the_last_sum_stands_where_the_database_gives_none(cluster: Cluster):
    """Of very many objects it may take longer than a statement may, and then no object would be taken."""
    level, now, errors, asked = levels(cluster)
    known = level.usage()
    for _ in range(3):
        now[0] += 61.0
        errors.append(late())
        assert [level.usage() for _ in range(5)] == [known] * 5  # asked once, and not by each object
    assert len(asked) == 4
    now[0] += 3600.0
    errors.append(late())
    with pytest.raises(TimeoutError, match="sizes of all objects"):
        level.usage()


def test_a_sum_that_is_not_known_is_asked_for_again_soon_and_not_by_each(cluster: Cluster):
    level, now, errors, asked = levels(cluster)
    errors.append(late())
    for _ in range(5):
        with pytest.raises(TimeoutError, match="of the test"):
            level.usage()
    assert len(asked) == 1
    now[0] += 6.0
    assert level.usage().total_bytes == 10**10 and len(asked) == 2


def test_others_do_not_wait_for_a_sum(cluster: Cluster):
    level, now, _, _ = levels(cluster)
    known, gate, real = level.usage(), Gate(), level._database.read

    class Slow:
        def read(self, sql: str, **values: Value) -> list[Row]:
            gate.wait()
            return real(sql, **values)

    level._database = Slow()  # type: ignore[assignment]
    now[0] += 61.0
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(level.usage)
        assert gate.reached.wait(60)
        assert level.usage() == known
        gate.opened.set()
        assert slow.result(60).total_bytes == known.total_bytes


def test_a_database_that_does_not_wait_for_its_disk_is_cautioned_of(cluster: Cluster):
    assert "fsync" in cluster.open().caution  # the tests' own
    with setting(cluster, "synchronous_commit", "off"):
        assert cluster.open()._database.read("SHOW synchronous_commit") == [["on"]]


def test_a_row_that_an_earlier_release_left_goes_with_the_next_lock(cluster: Cluster):
    """Two sweeps that removed a study at a time left its row, without anything of it."""
    store = cluster.open()
    cluster.rows("INSERT INTO study VALUES (:tenant, '', '1.2.77', '00', to_timestamp(0)) RETURNING 1")
    limits = AgeLimits(time.time(), retention_days=1.0)
    assert remove_old(store, TableWorklist(store, store.tables), limits)[0] == 0
    assert not store.has_study("1.2.77")


def test_what_another_writes_without_the_lock_is_not_lost(cluster: Cluster):
    """Its row refers to a study of which there is nothing else, and is committed while the lock ends."""
    store, other = cluster.open(), cluster.open()
    cluster.rows("INSERT INTO study VALUES (:tenant, '', '1.2.77', '00') RETURNING 1")
    with ThreadPoolExecutor(1) as thread:
        with other._database.apart():
            other.study_entries("1.2.77").put("state", "{}")
            locked = thread.submit(lambda: lock_alone(store, "1.2.77"))
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'"
            wait_for(lambda: cluster.server.run(waits) == [[1]], "the end of the lock to wait for the writer")
        locked.result(60)
    assert store.study_entries("1.2.77").get("state") == b"{}"


def lock_alone(store: ClusterStore, uid: str) -> None:
    with store.study_lock(uid):
        pass
