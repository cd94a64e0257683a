"""The worker's loop in this process, on a real Redis and real rq jobs: what it runs, refuses, retries and gives up."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis.exceptions import ResponseError
from rq import Callback, Queue
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import DefaultSerializer

from tests.support.in_process_worker import Workplace
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, is_done
from triage.cli import triage
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.session import ModelSession
from triage.queue.score_queue import QUEUE, SCORE, UNREAD_PAUSES_S, job_id
from triage.runtime.child_pool import DecodePool
from triage.scoring.batch import FailedInstance, ScoredFiles, StartedFiles, open_file
from triage.scoring.worker import MAX_DEATHS
from triage.spool.spool import Spool
from triage.worklist import index_keys as keys

DEADLY = b"DEADLY"
PATIENCE_S = 60.0
RAN: list[Any] = []


def never(*arguments: Any, **_: Any) -> None:
    """Record that it ran, which must not happen, whatever names it."""
    RAN.append(arguments)


def open_or_die(path: Path, *arguments: Any) -> Any:
    """open_file with a decoder that crashes on some objects."""
    if DEADLY in path.read_bytes():
        os.kill(os.getpid(), signal.SIGKILL)
    return open_file(path, *arguments)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(2, 60.0)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSession]:
    folder = tmp_path_factory.mktemp("models")
    card = write_model(folder, "tiny-adult", bias=-10)
    return {card.name: ModelSession(folder / card.name, card, threads=1)}


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    RAN.clear()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def place(spool: Spool, redis_server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool) -> Workplace:
    return Workplace(spool, redis_server, sessions, pool)


def test_jobs_are_scored_in_batches_and_leave_nothing_behind(place: Workplace) -> None:
    instances = place.queued(*(a_chest(number) for number in range(20)))
    place.jobs.enqueue(instances[0])
    place.work()
    assert is_done(place.spool)
    assert len(place.tags()) == 20
    assert {tag for tag, _ in place.tags().values()} == {Tag.NORMAL}
    assert place.counted("batch_size_sum") == 20
    assert place.counted("batch_size_count") <= 2  # 16 and 4, or all, where decoding the 16 took its time
    assert not list(place.client.scan_iter("rq:job:*"))
    assert not list(place.client.scan_iter("cxr-triage:failures"))


def test_a_batch_is_scored_while_the_one_before_it_is_written(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.queued(*(a_chest(number) for number in range(8)))
    scored = [threading.Event() for _ in range(4)]
    score, settle, written = place.scorer.score, place.scorer.settle, []

    def noted_score(started: StartedFiles) -> ScoredFiles:
        found = score(started)
        next(each for each in scored if not each.is_set()).set()
        return found

    def late_settle(files: ScoredFiles) -> list[FailedInstance]:
        written.append(len(files.assessments))
        assert scored[min(len(written), 3)].wait(PATIENCE_S)  # the batch after it, or itself for the last one
        return settle(files)

    monkeypatch.setattr(place.scorer, "score", noted_score)
    monkeypatch.setattr(place.scorer, "settle", late_settle)
    place.work(batch_size=2)
    assert written == [2, 2, 2, 2]
    assert is_done(place.spool)
    assert len(place.tags()) == 8


def test_a_batch_that_cannot_be_written_waits_with_all_after_it(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = place.queued(*(a_chest(number) for number in range(6)))

    def no_space(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, suppress(OSError):
        patched.setattr(Spool, "write_assessment", no_space)
        place.work(batch_size=2)
    assert set(place.spool.waiting()) == set(instances)
    assert place.tags() == {}
    place.sweep()
    place.work(batch_size=2, name="next")
    assert is_done(place.spool)
    assert len(place.tags()) == 6


def test_an_outage_of_the_store_is_no_attempt_at_an_object(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (instance,) = place.queued(a_chest())
    path = place.spool.inbox_path(instance)
    content, asked = path.read_bytes(), []
    path.write_bytes(content[:-1])  # the bytes come as they should once the store is back
    os.utime(path, (0, 0))

    def gives_objects(_: Spool) -> bool:
        asked.append(True)
        if len(asked) == 5:
            path.write_bytes(content)
        return len(asked) > 5

    monkeypatch.setattr(Spool, "gives_objects", gives_objects)
    monkeypatch.setattr("triage.scoring.worker._PAUSE_S", 0.0)
    place.work(tries=1)
    assert is_done(place.spool) and not list(place.spool.dead_letters())
    assert {tag for tag, _ in place.tags().values()} == {Tag.NORMAL}
    assert caplog.text.count("waits, as the store gives no objects now") == 5


def test_bytes_that_came_altered_are_read_again_at_once_and_then_after_growing_pauses(place: Workplace) -> None:
    """Three readings within the same second would be one: what alters or withholds bytes may last for minutes."""
    passing, lasting = place.queued(a_chest(1), a_chest(2))
    content = place.spool.inbox_path(passing).read_bytes()
    for instance in (passing, lasting):
        path = place.spool.inbox_path(instance)
        path.write_bytes(path.read_bytes()[:-1])
        os.utime(path, (0, 0))
    place.work()
    assert place.counted("postponed_total", why="unread") == 4 and place.counted("retries_total") == 0
    assert {place.jobs.state(each) for each in (passing, lasting)} == {("scheduled", "")}
    place.sweep()
    assert place.jobs.depth() == 0, "the pause is not over"

    place.spool.inbox_path(passing).write_bytes(content)
    looks = 2
    while not list(place.spool.dead_letters()):
        assert place.spool.waits(lasting)
        place.end_pauses()
        place.sweep()
        place.work(name=f"w{looks}")
        assert place.tags()[passing.study_instance_uid] == (Tag.NORMAL, ())
        looks += 1
    assert looks == len(UNREAD_PAUSES_S) + 3, "minutes of pauses come before the first attempt that counts"
    assert place.tags()[lasting.study_instance_uid] == (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,))


def test_a_job_whose_object_is_done_is_dropped(place: Workplace) -> None:
    (instance,) = place.queued(a_chest())
    place.work()
    place.jobs.enqueue(instance)
    place.work()
    assert len(place.spool.history(instance.study_instance_uid)) == 1
    assert place.jobs.state(instance) == ("", "")


def foreign_jobs(queue: Queue, key: str) -> list[Job]:
    """Put jobs into the queue that an attacker with access to Redis might write."""
    pickled = Queue(QUEUE, connection=queue.connection, serializer=DefaultSerializer)
    refused = [
        queue.enqueue_call("tests.scoring.test_worker.never", [key], job_id="other-function"),
        queue.enqueue_call("os.system", ["true"], job_id="system"),
        queue.enqueue_call(SCORE, [key], job_id="success", on_success=Callback("tests.scoring.test_worker.never")),
        queue.enqueue_call(SCORE, [key], job_id="failure", on_failure=Callback("tests.scoring.test_worker.never")),
        queue.enqueue_call(SCORE, [key], job_id="stopped", on_stopped=Callback("tests.scoring.test_worker.never")),
        queue.enqueue_call(SCORE, ["../../etc/passwd"], job_id="path"),
        queue.enqueue_call(SCORE, [7], job_id="number"),
        pickled.enqueue_call(SCORE, [key], job_id="pickled"),
    ]
    bomb = pickle.dumps(Bomb())
    queue.connection.hset("rq:job:pickled", "data", bomb)
    queue.connection.hset("rq:job:number", "status", "nonsense")
    return refused


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return never, ("unpickled",)


def test_nothing_that_is_not_on_the_closed_list_runs_and_it_is_visible(
    place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    (instance,) = place.queued(a_chest())
    refused = foreign_jobs(place.queue, instance.key)
    place.work(batch_size=4)
    assert RAN == []
    assert is_done(place.spool)
    assert place.counted("jobs_refused_total") == len(refused)
    failed = FailedJobRegistry(queue=place.queue)
    assert set(failed.get_job_ids()) == {job.id for job in refused}
    assert caplog.text.count("refused job") == len(refused)
    assert b"closed list" in place.client.hget("rq:job:system", "exc_info")


def test_rq_s_maintenance_runs_no_callback_of_an_abandoned_job(place: Workplace) -> None:
    """rq calls the failure callback of a job that stands in its registry of started jobs for too long."""
    job = place.queue.enqueue_call(
        SCORE, ["x"], job_id="abandoned", on_failure=Callback("tests.scoring.test_worker.never")
    )
    place.client.delete(place.queue.key)
    place.client.hset(job.key, "status", "started")
    place.client.zadd(StartedJobRegistry(queue=place.queue).key, {"abandoned:1": 1})
    place.work()
    assert RAN == []


def test_an_object_that_kills_its_decoder_becomes_a_dead_letter_and_its_batch_is_scored(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.scoring.batch.open_file", open_or_die)
    poison = a_chest(3).replace(b"PHANTOM^CHEST", b"DEADLY^CHEST_")
    files = [poison if number == 3 else a_chest(number) for number in range(6)]
    instances = place.queued(*files)
    place.work()

    tags = place.tags()
    assert tags.pop(instances[3].study_instance_uid) == (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,))
    assert set(tags.values()) == {(Tag.NORMAL, ())}
    ((buried, note),) = place.spool.dead_letters()
    assert buried == instances[3]
    assert note["tries"] == 3
    assert place.counted("retries_total") == 2
    assert place.counted("buried_total") == 1
    assert not list(place.client.scan_iter("cxr-triage:failures"))


def test_a_person_sees_dead_letters_and_requeues_them(
    place: Workplace, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"TRIAGE_SPOOL_PATH": str(place.spool.root), "TRIAGE_REDIS_URL": redis_server.url}
    with monkeypatch.context() as failing:
        failing.setattr("triage.scoring.batch.open_file", open_or_die)
        (instance,) = place.queued(a_chest().replace(b"PHANTOM^CHEST", b"DEADLY^CHEST_"))
        place.work(tries=2)
    told = CliRunner().invoke(triage, ["dead-letters"], env=environment)
    assert instance.key in told.output.split()
    assert "DecoderDiedError" in told.output

    assert CliRunner().invoke(triage, ["dead-letters", "--requeue", instance.key], env=environment).exit_code == 0
    assert list(place.spool.waiting()) == [instance]
    place.work()
    assert place.tags() == {instance.study_instance_uid: (Tag.NORMAL, ())}
    assert not list(place.spool.dead_letters())
    tags = [each["tag"] for each in place.spool.history(instance.study_instance_uid)]
    assert tags == ["NOT_ASSESSED", "NORMAL"]
    assert len(place.spool.assessments(instance.study_instance_uid)) == 1


def test_what_was_in_work_when_a_worker_died_is_worked_on_alone(place: Workplace) -> None:
    instances = place.queued(*(a_chest(number) for number in range(4)))
    for instance in instances[:2]:
        place.jobs.count_death(instance)
    place.work()
    assert is_done(place.spool)
    assert len(place.tags()) == 4
    assert (place.counted("batch_size_count"), place.counted("batch_size_sum")) == (3, 4)
    assert not list(place.client.scan_iter("cxr-triage:deaths"))


def test_an_object_with_which_every_worker_dies_is_given_up(place: Workplace) -> None:
    deadly, innocent = place.queued(a_chest(0), a_chest(1))
    for _ in range(MAX_DEATHS):
        place.jobs.count_death(deadly)
    place.work()
    assert place.tags() == {
        deadly.study_instance_uid: (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,)),
        innocent.study_instance_uid: (Tag.NORMAL, ()),
    }
    assert [instance for instance, _ in place.spool.dead_letters()] == [deadly]


def test_trouble_with_the_disk_is_nobody_s_death(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    (instance,) = place.queued(a_chest())

    def no_space(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Spool, "sync", no_space)
        for number in range(3):
            place.work(tries=1, name=f"w{number}")
            place.sweep()
    assert place.jobs.deaths([instance]) == [0]
    assert not list(place.spool.dead_letters())
    place.work()
    assert place.tags() == {instance.study_instance_uid: (Tag.NORMAL, ())}


def test_an_object_whose_study_cannot_be_written_waits_and_keeps_no_other(
    place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends no batch that it is in, and is not given up either: its study would not say so."""
    instances = place.queued(*(a_chest(number) for number in range(3)))
    folder = place.spool.study_folder(instances[1].study_instance_uid)
    folder.parent.mkdir(exist_ok=True)
    folder.touch()
    place.work()
    assert place.tags().keys() == {instances[0].study_instance_uid, instances[2].study_instance_uid}
    assert not list(place.spool.dead_letters())
    assert list(place.spool.waiting()) == [instances[1]]
    assert (place.counted("retries_total"), place.counted("buried_total")) == (2, 0)
    assert place.counted("postponed_total", why="undecided") == 1
    assert "trying again" not in caplog.text
    assert f"{instances[1].key} waits, and is tried again after 15 s" in caplog.text
    assert len(list(place.spool.study_uids())) == 2

    folder.unlink()
    assert place.end_pauses() == 1
    place.sweep()
    place.work()
    assert len(place.tags()) == 3
    assert is_done(place.spool)


def test_a_spool_that_takes_no_study_gives_up_none(place: Workplace) -> None:
    instances = place.queued(*(a_chest(number) for number in range(2)))
    place.spool.studies.rmdir()
    place.spool.studies.touch()
    for number in range(4):
        place.work(tries=2, name=f"w{number}")
        place.sweep()
    assert set(place.spool.waiting()) == set(instances)
    place.spool.studies.unlink()
    place.spool.studies.mkdir()
    place.work(name="last")
    assert len(place.tags()) == 2


def test_a_stop_in_a_batch_ends_it_in_order(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    place.queued(*(a_chest(number) for number in range(8)))
    write = Spool.write_decision

    def stop_meanwhile(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # a second one is no reason for haste
        write(*arguments)

    monkeypatch.setattr(Spool, "write_decision", stop_meanwhile)
    place.work(batch_size=2)
    assert place.stop.received
    waiting = set(place.spool.waiting())
    assert len(waiting) in (2, 4)  # one batch was being written, one scored, and perhaps one begun
    assert place.jobs.waiting_ids() == {job_id(instance) for instance in waiting}
    assert len(place.tags()) == 8 - len(waiting)


def test_nothing_that_anybody_writes_into_redis_stops_the_scoring(place: Workplace) -> None:
    instances = place.queued(*(a_chest(number) for number in range(6)))
    queue = f"rq:queue:{QUEUE}"
    for number in range(30):  # before each job, and more of them than one batch takes
        for odd in (b"\xff\xfe%d" % number, b"", b"a job?", f"no-such-job-{number}".encode(), f"set-{number}".encode()):
            place.client.lpush(queue, odd)
        place.client.sadd(f"rq:job:set-{number}", "x")
    place.client.hset("cxr-triage:deaths", mapping={each.key: "many" for each in instances[:2]})
    place.client.hset("cxr-triage:failures", instances[2].key, "many")
    place.client.hset(f"rq:job:{job_id(instances[3])}", mapping={"data": b"\x00", "created_at": "never"})
    place.client.sadd("rq:worker:other", "x")
    place.client.sadd(f"rq:workers:{QUEUE}", "rq:worker:other", b"\xff")
    for name in ("rq:queue:score-priors", "rq:failed:score", "rq:suspended"):
        place.client.set(name, "x")
    place.sweep()
    place.work()
    place.sweep()  # the job that could not be read was refused; the object is queued again
    place.work()
    assert is_done(place.spool)
    assert set(place.tags()) == {each.study_instance_uid for each in instances}


KEYS_OF_RQ = (
    *("rq:workers", "rq:workers:score", "rq:workers:score-priors", "rq:workers:score-stat"),
    *("rq:queues", "rq:suspended"),
    *(f"rq:queue:{name}{end}" for name in ("score", "score-priors", "score-stat") for end in ("", ":intermediate")),
    *(f"rq:{name}:score" for name in ("wip", "failed", "finished", "canceled", "deferred", "scheduled")),
    *("rq:clean_registries:score", "cxr-triage:failures", "cxr-triage:deaths", "cxr-triage:delays"),
)
SPOILT: dict[str, Callable[[Any, str], object]] = {
    "text": lambda client, name: client.set(name, b"\xffx"),
    "number of 5,000 digits": lambda client, name: client.set(name, b"9" * 5000),
    "list": lambda client, name: client.rpush(name, b"\xff"),
    "hash": lambda client, name: client.hset(name, b"\xff", b"nan"),
    "sorted set": lambda client, name: client.zadd(name, {b"\xff": float("inf")}),
    "set": lambda client, name: client.sadd(name, b"\xff\n"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_whatever_anybody_made_of_every_key_all_is_scored_after_two_sweeps(place: Workplace, kind: str) -> None:
    """The index's keys too, and a job; `run` begins anew, with another name, where Redis answers with an error."""
    instances = place.queued(a_chest(1), a_chest(2))
    for name in (*KEYS_OF_RQ, *keys.TYPES, f"rq:job:{job_id(instances[0])}"):
        place.client.delete(name)
        SPOILT[kind](place.client, name)
    for life in range(3):
        with suppress(ResponseError):
            place.work(name=f"w{life}")
        if len(place.tags()) == len(instances):
            break
        place.sweep()
    assert len(place.tags()) == len(instances)
