"""The sweep: what is lost is queued, what Redis forgot is rebuilt, what is past its retention goes; nothing else."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support.builders import a_decision, an_instance
from tests.support.redis_server import RedisServer
from tests.support.small_disk import mounted
from triage.decision.records import to_record
from triage.metrics.reconcile import ReconcileMetrics
from triage.operations import retention
from triage.operations.reconcile import SharedState, SweepResult, sweep
from triage.operations.retention import AgeLimits
from triage.queue.score_queue import QUEUE, ScoreQueue, job_id
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act, acts_of

DAY = 24 * 3600.0
NOW = 1_000 * DAY


class Broom:
    def __init__(self, spool: Spool, server: RedisServer) -> None:
        self.spool = spool
        self.client = server.client()
        self.jobs = ScoreQueue(self.client)
        self.index = IndexedWorklist(self.client)
        self.registry = CollectorRegistry()
        self._metrics = ReconcileMetrics(self.registry)

    def sweep(
        self, retention_days: float = 0, now: float = NOW, expire_after_days: float = 0, clock_is_steady: bool = True
    ) -> SweepResult:
        limits = AgeLimits(now, retention_days, expire_after_days, clock_is_steady=clock_is_steady)
        return sweep(SharedState(self.spool, self.jobs, self.index), self._metrics, limits)

    def listed(self) -> list[str]:
        return [each.study_instance_uid for each in self.index.page(None, 100, NOW).entries]

    def requeued(self, why: str) -> float:
        return self.registry.get_sample_value("cxr_triage_sweep_requeued_total", {"why": why}) or 0.0


@pytest.fixture
def broom(spool: Spool, redis_server: RedisServer) -> Broom:
    return Broom(spool, redis_server)


def arrived(spool: Spool, instance: ReceivedInstance) -> ReceivedInstance:
    spool.inbox_path(instance).write_bytes(b"object")
    return instance


def tagged(spool: Spool, study: str, tagged_at: float, *, read: bool = False) -> ReceivedInstance:
    """A finished study that nothing has happened to since."""
    instance = arrived(spool, an_instance(study, f"{study}.1"))
    spool.write_assessment(instance, {})
    spool.write_decision(study, to_record(a_decision(study, tagged_at=tagged_at)))
    spool.file(instance)
    with spool.study_lock(study):
        pass
    if read:
        call_read(spool, study)
    os.utime(spool.study_folder(study), (tagged_at, tagged_at))
    return instance


def call_read(spool: Spool, study: str, revision: str = "c" * 64) -> None:
    act = {"act": "read", "at": NOW, "who": "a", "through": "page", "revision": revision, "tag": "NORMAL"}
    with (spool.study_folder(study) / "reading.jsonl").open("a") as file:
        file.write("\n" + json.dumps(act))


def in_work(broom: Broom, instance: ReceivedInstance, worker: str) -> None:
    broom.jobs.enqueue(instance)
    broom.client.delete(f"rq:queue:{QUEUE}")
    broom.client.hset(f"rq:job:{job_id(instance)}", mapping={"status": "started", "worker_name": worker})


def test_what_has_no_job_is_queued_once(broom: Broom) -> None:
    orphan = arrived(broom.spool, an_instance(content=b"1"))
    queued = arrived(broom.spool, an_instance(content=b"2"))
    broom.jobs.enqueue(queued)
    assert broom.sweep().requeued == 1
    assert broom.sweep().requeued == 0
    assert broom.jobs.waiting_ids() == {job_id(orphan), job_id(queued)}
    assert broom.requeued("lost_job") == 1


@pytest.mark.parametrize("status", ["queued", "failed", "finished"])
def test_a_job_that_lies_in_no_queue_is_queued_again(broom: Broom, status: str) -> None:
    instance = arrived(broom.spool, an_instance())
    broom.jobs.enqueue(instance)
    broom.client.lmove(f"rq:queue:{QUEUE}", f"rq:queue:{QUEUE}:intermediate")  # and the worker died
    broom.client.hset(f"rq:job:{job_id(instance)}", "status", status)
    assert broom.sweep().requeued == 1
    assert broom.jobs.waiting_ids() == {job_id(instance)}
    assert not broom.client.exists(f"rq:queue:{QUEUE}:intermediate")


def test_what_a_living_worker_has_is_left_to_it(broom: Broom) -> None:
    in_work(broom, arrived(broom.spool, an_instance()), "w")
    with broom.spool.workers.hold("w"):
        assert broom.sweep().requeued == 0
    assert broom.sweep().requeued == 1
    assert broom.requeued("dead_worker") == 1


def test_a_death_is_counted_only_of_a_worker_that_was_killed(broom: Broom) -> None:
    instance = arrived(broom.spool, an_instance())
    with broom.spool.workers.hold("in-order"):
        in_work(broom, instance, "in-order")
    broom.sweep()
    assert broom.jobs.deaths([instance]) == [0]
    (broom.spool.root / "locks" / "killed").touch()
    in_work(broom, instance, "killed")
    broom.client.hset(f"rq:job:{job_id(instance)}", mapping={"status": "started", "worker_name": "killed"})
    broom.sweep()
    assert broom.jobs.deaths([instance]) == [1]


def test_a_file_of_somebody_else_s_stops_nothing(broom: Broom, caplog: pytest.LogCaptureFixture) -> None:
    instance = arrived(broom.spool, an_instance())
    for folder in (broom.spool.inbox, broom.spool.dead):
        (folder / "my-test.dcm").touch()
    (broom.spool.studies / "lost+found").mkdir()
    (broom.spool.studies / "lost+found" / "x").mkdir()
    (broom.spool.studies / "note.txt").touch()
    assert broom.sweep(retention_days=1) == SweepResult(requeued=1, rebuilt=True, removed=0)
    assert broom.jobs.waiting_ids() == {job_id(instance)}
    assert "not ours" in caplog.text


def test_an_emptied_index_is_rebuilt_from_the_files(broom: Broom) -> None:
    for number in range(5):
        tagged(broom.spool, f"1.2.{number}", NOW)
    assert broom.sweep().rebuilt
    assert not broom.sweep().rebuilt
    broom.client.flushall()
    assert broom.index.count() == 0
    assert broom.sweep().rebuilt
    assert sorted(broom.index.study_uids()) == [f"1.2.{number}" for number in range(5)]


def test_a_decision_that_cannot_be_read_hides_no_other(broom: Broom, caplog: pytest.LogCaptureFixture) -> None:
    tagged(broom.spool, "1.2.1", NOW)
    tagged(broom.spool, "1.2.2", NOW)
    broom.spool.write_decision("1.2.2", {**to_record(a_decision("1.2.2")), "reasons": ["of_a_later_release"]})
    tagged(broom.spool, "1.2.3", NOW)
    broom.spool.write_decision("1.2.3", {})
    os.utime(broom.spool.study_folder("1.2.3"), (1.0, 1.0))
    assert broom.sweep(retention_days=30, now=NOW) == SweepResult(requeued=0, rebuilt=True, removed=0, overdue=1)
    assert list(broom.index.study_uids()) == ["1.2.1"]
    assert "study 1.2.2 cannot be read" in caplog.text


def test_who_read_a_study_hides_no_other_when_it_cannot_be_read(broom: Broom, caplog: pytest.LogCaptureFixture) -> None:
    """A worker and the sweep start with this: what raised here would keep every one of them from starting."""
    for number in range(3):
        tagged(broom.spool, f"1.2.{number}", NOW)
    (broom.spool.study_folder("1.2.0") / "reading.jsonl").write_text('{"act": "of a later release"}\n')
    (broom.spool.study_folder("1.2.1") / "decision.json").unlink()
    (broom.spool.study_folder("1.2.1") / "decision.json").mkdir()
    assert broom.sweep(retention_days=30).rebuilt
    assert sorted(broom.index.study_uids()) == ["1.2.0", "1.2.2"]
    assert "the readings of study 1.2.0 cannot be read" in caplog.text
    assert "cannot be read (Is a directory): 1.2.1" in caplog.text


def test_a_study_that_cannot_be_removed_keeps_no_other(broom: Broom, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        tagged(broom.spool, f"1.2.{number}", NOW - 31 * DAY, read=True)
    waiting = arrived(broom.spool, an_instance("1.3", "1.3.1"))
    half = broom.spool.new_part()
    half.mkdir()
    lock = broom.spool.study_folder("1.2.1") / ".lock"
    lock.unlink()
    lock.mkdir()
    with mounted(half, megabytes=1):
        for path in (half, broom.spool.study_folder("1.2.1")):
            os.utime(path, (1.0, 1.0))
        assert broom.sweep(retention_days=30).removed == 2
        assert broom.jobs.waiting_ids() == {job_id(waiting)}
        assert list(broom.index.study_uids()) == ["1.2.1"]
        assert "sweep: study 1.2.1: Is a directory" in caplog.text
        assert f"{half.name} in the spool's incoming cannot be removed" in caplog.text


def test_a_redis_that_came_back_with_old_contents_is_put_right(broom: Broom, redis_server: RedisServer) -> None:
    tagged(broom.spool, "1.2.1", NOW)
    tagged(broom.spool, "1.2.2", NOW)
    broom.sweep()
    newest = a_decision("1.2.1", tagged_at=NOW + 5, probability=0.9)
    broom.spool.write_decision("1.2.1", to_record(newest))  # and Redis forgot that it was told
    broom.spool.remove_study("1.2.2")
    redis_server.kill()
    redis_server.start()
    assert not broom.index.is_built()
    assert broom.index.count() == 2
    assert broom.sweep().rebuilt
    assert broom.index.get("1.2.1") == newest
    assert broom.index.count() == 1


def test_an_index_that_is_emptied_while_it_is_rebuilt_is_not_called_complete(
    broom: Broom, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged(broom.spool, "1.2.1", NOW)
    put_all = IndexedWorklist.put_all

    def emptied_afterwards(self: IndexedWorklist, decisions: object) -> None:
        put_all(self, decisions)  # type: ignore[arg-type]
        broom.client.flushall()

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(IndexedWorklist, "put_all", emptied_afterwards)
        assert not broom.sweep().rebuilt
    assert not broom.index.is_built()
    assert broom.sweep().rebuilt
    assert broom.index.count() == 1


def test_retention_removes_only_finished_studies_that_are_older(broom: Broom) -> None:
    old = tagged(broom.spool, "1.2.1", NOW - 31 * DAY, read=True)
    young = tagged(broom.spool, "1.2.2", NOW - 29 * DAY, read=True)
    late = tagged(broom.spool, "1.2.3", NOW - 31 * DAY, read=True)
    waiting = arrived(broom.spool, an_instance("1.2.3", "1.2.3.9"))
    dead = tagged(broom.spool, "1.2.4", NOW - 31 * DAY, read=True)
    arrived(broom.spool, an_instance("1.2.4", "1.2.4.9"))
    broom.spool.bury(an_instance("1.2.4", "1.2.4.9"), {})
    raised_again = tagged(broom.spool, "1.2.5", NOW - 31 * DAY, read=True)
    broom.spool.write_decision("1.2.5", to_record(a_decision("1.2.5", tagged_at=NOW - DAY)))
    os.utime(broom.spool.study_folder("1.2.5"), (NOW - 31 * DAY,) * 2)

    assert broom.sweep(retention_days=30).removed == 1
    assert not broom.spool.study_folder("1.2.1").exists()
    assert broom.spool.find(old) is None
    for kept in (young, late, waiting, dead, raised_again):
        assert broom.spool.find(kept) is not None
    assert sorted(broom.index.study_uids()) == ["1.2.2", "1.2.3", "1.2.4", "1.2.5"]
    assert not list(broom.spool.incoming.iterdir())


def test_retention_removes_nothing_that_nobody_has_read(broom: Broom) -> None:
    unread = tagged(broom.spool, "1.2.1", NOW - 31 * DAY)
    read_before = tagged(broom.spool, "1.2.2", NOW - 31 * DAY)
    call_read(broom.spool, "1.2.2", revision="b" * 64)  # and a late image came
    damaged = tagged(broom.spool, "1.2.3", NOW - 31 * DAY)
    (broom.spool.study_folder("1.2.3") / "reading.jsonl").write_text('{"act": "of a later release"}')
    for uid in ("1.2.2", "1.2.3"):
        os.utime(broom.spool.study_folder(uid), (NOW - 31 * DAY,) * 2)
    swept = broom.sweep(retention_days=30)
    assert (swept.removed, swept.overdue) == (0, 3)
    assert all(broom.spool.find(each) for each in (unread, read_before, damaged))


def test_what_left_the_list_by_age_as_the_site_has_set_it_is_removed_later(broom: Broom) -> None:
    tagged(broom.spool, "1.2.1", NOW - 31 * DAY)
    assert broom.sweep(retention_days=30, expire_after_days=7).removed == 0
    os.utime(broom.spool.study_folder("1.2.1"), (NOW - 31 * DAY,) * 2)
    assert broom.sweep(retention_days=30, expire_after_days=7).removed == 1


def test_a_sweep_removes_so_many_studies_and_no_more(broom: Broom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_REMOVED_AT_ONCE", 2)
    for number in range(5):
        tagged(broom.spool, f"1.2.{number}", NOW - 31 * DAY, read=True)
    assert [broom.sweep(retention_days=30).removed for _ in range(4)] == [2, 2, 1, 0]


def test_nothing_goes_by_its_age_while_the_clock_is_in_doubt(broom: Broom) -> None:
    tagged(broom.spool, "1.2.1", NOW - 31 * DAY, read=True)
    tagged(broom.spool, "1.2.2", NOW - 31 * DAY)
    part = broom.spool.new_part()
    part.touch()
    os.utime(part, (1.0, 1.0))
    before = SweepResult(requeued=0, rebuilt=True, removed=0)
    assert broom.sweep(retention_days=30, expire_after_days=7, clock_is_steady=False) == before
    assert part.exists()
    assert broom.listed() == ["1.2.2"]


def test_a_study_without_a_decision_is_never_removed(broom: Broom) -> None:
    instance = arrived(broom.spool, an_instance("1.2.7", "1.2.7.1"))
    broom.spool.write_assessment(instance, {})
    os.utime(broom.spool.study_folder("1.2.7"), (1.0, 1.0))
    assert broom.sweep(retention_days=1).removed == 0
    assert broom.spool.study_folder("1.2.7").exists()


def test_retention_of_zero_days_keeps_everything(broom: Broom) -> None:
    tagged(broom.spool, "1.2.1", 1.0)
    assert broom.sweep(retention_days=0).removed == 0


def test_what_a_crash_left_half_done_is_removed_and_what_is_in_work_is_not(broom: Broom) -> None:
    now = time.time()
    half, fresh, removed = (broom.spool.new_part() for _ in range(3))
    half.touch()
    fresh.touch()
    removed.mkdir()
    (removed / "decision.json").touch()
    old_lock, held_lock = broom.spool.root / "locks" / "old", broom.spool.root / "locks" / "held"
    old_lock.touch()
    with broom.spool.workers.hold("held"):
        for path in (half, removed, old_lock, held_lock):
            os.utime(path, (now - 30 * DAY,) * 2)
        broom.sweep(now=now)
        assert set(broom.spool.incoming.iterdir()) == {fresh}
        assert [path.name for path in Path(broom.spool.root / "locks").iterdir()] == ["held"]


def test_a_study_leaves_the_list_by_age_and_comes_back_with_a_late_image(broom: Broom) -> None:
    tagged(broom.spool, "1.1", NOW - 8 * DAY)
    tagged(broom.spool, "1.2", NOW - 6 * DAY)
    assert broom.sweep().expired == 0
    assert broom.sweep(expire_after_days=7).expired == 1
    assert broom.sweep(expire_after_days=7).expired == 0
    assert (broom.listed(), broom.index.count()) == (["1.2"], 1)
    (step,) = acts_of(broom.spool, "1.1")
    assert (step.act, step.through) == (Act.EXPIRED, "expiry")
    assert broom.registry.get_sample_value("cxr_triage_studies_expired_total") == 1
    broom.index.clear()
    broom.sweep(expire_after_days=7)
    assert broom.listed() == ["1.2"]

    late = a_decision("1.1", tagged_at=NOW - DAY, revision="d" * 64)
    broom.spool.write_decision("1.1", to_record(late))
    broom.index.put(late)
    assert broom.sweep(expire_after_days=7).expired == 0
    assert set(broom.listed()) == {"1.1", "1.2"}
