"""The queue on a real Redis: names, payload, uniqueness, and which Redis is refused."""

from __future__ import annotations

import re
import zlib

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from tests.support.builders import an_instance
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive
from triage.queue.rq_adapter import ScoreJob, open_queue
from triage.queue.score_queue import PRIORS, QUEUE, SCORE, STAT, Delay, ScoreQueue, connect, job_id
from triage.spool.spool import Spool


@pytest.fixture
def client(redis_server: RedisServer) -> Redis:
    return connect(redis_server.url, 5.0)


def test_a_job_id_names_the_object_and_is_one_that_rq_allows() -> None:
    name = job_id(an_instance(sop="1.2.840." + "9" * 56))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
    assert "1-2-840-" in name
    assert job_id(an_instance(content=b"1")) != job_id(an_instance(content=b"2"))
    assert job_id(an_instance(study="1.2")) != job_id(an_instance(study="1.20"))


def test_a_job_is_json_and_says_nothing_of_the_patient(client: Redis, spool: Spool) -> None:
    instance = receive(spool, a_chest(accession="ACCESSION-7"))
    assert ScoreQueue(client).enqueue(instance)
    record = client.hgetall(f"rq:job:{job_id(instance)}")
    assert JSONSerializer.loads(zlib.decompress(record[b"data"])) == [SCORE, None, [instance.key], {}]
    everything = b"\n".join(client.dump(key) or b"" for key in client.scan_iter("*")) + repr(record).encode()
    for secret in (b"PHANTOM", b"CHEST", b"ACCESSION-7", b"050Y"):
        assert secret not in everything
    assert client.ttl(f"rq:job:{job_id(instance)}") > 0


def test_an_object_is_queued_once(client: Redis) -> None:
    jobs, instance = ScoreQueue(client), an_instance()
    assert jobs.enqueue(instance)
    assert not jobs.enqueue(instance)
    assert jobs.depth() == 1
    assert jobs.enqueue(an_instance(content=b"other"))
    assert jobs.depth() == 2


@pytest.mark.parametrize("status", ["started", "failed", "finished", "stopped"])
def test_an_object_is_queued_again_whatever_became_of_its_job(client: Redis, status: str) -> None:
    jobs, instance = ScoreQueue(client), an_instance()
    jobs.enqueue(instance)
    client.delete(f"rq:queue:{QUEUE}")
    client.hset(f"rq:job:{job_id(instance)}", mapping={"status": status, "worker_name": "gone"})
    assert jobs.describe(instance) == ("started by gone" if status == "started" else status)
    for _ in range(2):
        jobs.again(instance)
    assert jobs.waiting_ids() == {job_id(instance)}
    assert jobs.depth() == 1
    assert jobs.state(instance) == ("queued", "")


def test_what_is_done_leaves_nothing_in_redis(client: Redis) -> None:
    jobs, instance = ScoreQueue(client), an_instance()
    jobs.enqueue(instance)
    assert jobs.count_failure(instance) == 1
    assert jobs.count_failure(instance) == 2
    jobs.count_death(instance)
    assert jobs.deaths([an_instance(content=b"other"), instance]) == [0, 1]
    client.lmove(f"rq:queue:{QUEUE}", f"rq:queue:{QUEUE}:intermediate")
    jobs.end([instance])
    jobs.tidy()
    assert {key.decode() for key in client.scan_iter("*")} <= {"rq:queues"}


def test_a_job_of_anything_is_read_without_raising(client: Redis) -> None:
    for number, fields in enumerate(({}, {"data": b"\x80\x04."}, {"data": b"[]", "status": "nonsense"})):
        client.hset(f"rq:job:j{number}", mapping={"created_at": "yesterday", **fields})
    jobs = ScoreJob.fetch_many(["j0", "j1", "j2"], client, JSONSerializer)
    assert [type(job) for job in jobs] == [ScoreJob] * 3


def test_rq_itself_reads_our_jobs(client: Redis) -> None:
    """What an operator's `rq info` and dashboards show."""
    ScoreQueue(client).enqueue(an_instance())
    (job,) = Queue(QUEUE, connection=client, serializer=JSONSerializer).jobs
    assert (job.func_name, job.description) == (SCORE, an_instance().sop_instance_uid)


def test_jobs_are_taken_through_the_list_that_rq_takes_them_through(client: Redis) -> None:
    """`tidy` empties it, and RQ shows it."""
    jobs, instances = ScoreQueue(client), [an_instance(content=bytes([number])) for number in range(3)]
    queues = [open_queue(name, client) for name in (STAT, QUEUE)]
    assert jobs.take(queues, 2) == (None, [])
    for instance in instances:
        jobs.enqueue(instance)
    queue, taken = jobs.take(queues, 2)
    assert (queue, [job.id for job in taken]) == (queues[1], [job_id(each) for each in instances[:2]])
    assert [job.args for job in taken] == [[each.key] for each in instances[:2]]
    assert client.lrange(queues[1].intermediate_queue_key, 0, -1) == [each.id.encode() for each in taken]
    assert queues[1].job_ids == [job_id(instances[2])]


def test_a_worker_begins_what_killed_none_and_is_told_of_the_rest(client: Redis) -> None:
    jobs, instances = ScoreQueue(client), [an_instance(content=bytes([number])) for number in range(3)]
    for instance in instances:
        jobs.enqueue(instance)
    jobs.count_death(instances[0])
    client.hset("cxr-triage:deaths", instances[1].key, "many")
    _, taken = jobs.take([open_queue(QUEUE, client)], 3)
    pairs = list(zip(taken, instances, strict=True))
    assert jobs.begin(pairs, "w1") == [1, 0, 0]
    assert [jobs.state(each) for each in instances] == [("queued", ""), ("started", "w1"), ("started", "w1")]
    jobs.started(pairs[:1], "w2")
    assert jobs.state(instances[0]) == ("started", "w2")
    assert jobs.begin([], "w1") == []


def test_a_prior_goes_behind_all_others_and_wakes_a_worker_where_nothing_waits(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        jobs = ScoreQueue(client)
        instances = [an_instance(content=bytes([number])) for number in range(4)]
        for instance in instances[:3]:
            assert jobs.enqueue(instance, prior=True)
        assert jobs.depths() == {QUEUE: 1, PRIORS: 2, STAT: 0}
        assert not jobs.enqueue(instances[1]), "of each object one job, in whichever queue"
        assert jobs.enqueue(instances[3])
        assert (jobs.depths(), jobs.depth()) == ({QUEUE: 2, PRIORS: 2, STAT: 0}, 4)
        assert jobs.waiting_ids() == {job_id(each) for each in instances}
        assert jobs.is_of_priors(instances) == [False, True, True, False]

        jobs.again(instances[2])
        assert jobs.depths() == {QUEUE: 2, PRIORS: 2, STAT: 0}
        jobs.again(instances[2], prior=False)
        assert jobs.depths() == {QUEUE: 3, PRIORS: 1, STAT: 0}
        jobs.wake()
        assert jobs.depths() == {QUEUE: 3, PRIORS: 1, STAT: 0}
        client.delete(f"rq:queue:{QUEUE}")
        jobs.wake()
        assert jobs.depths() == {QUEUE: 1, PRIORS: 0, STAT: 0}


def test_what_cannot_be_read_is_queued_again_at_once_and_then_after_growing_pauses(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        jobs, instance = ScoreQueue(client), an_instance()
        assert jobs.postpone(instance, Delay.UNREAD) == 0
        assert jobs.waiting_ids() == {job_id(instance)}
        assert jobs.postpone(instance, Delay.UNREAD) == 15
        assert jobs.waiting_ids() == set() and jobs.delays(instance, Delay.UNREAD) == 2
        client.hset("cxr-triage:delays", f"unread {instance.key}", "many")
        assert jobs.delays(instance, Delay.UNREAD) == 0


def test_pauses_grow_are_counted_by_their_reason_and_end_with_the_object(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        jobs, instance, other = ScoreQueue(client), an_instance(), an_instance("1.2.9", "1.2.9.1")
        jobs.enqueue(instance, prior=True)
        assert [jobs.postpone(instance, Delay.LOCKED) for _ in range(7)] == [15, 30, 60, 120, 240, 240, 240]
        assert jobs.postpone(instance, Delay.UNDECIDED) == 15
        assert (jobs.delays(instance, Delay.LOCKED), jobs.delays(instance, Delay.UNREAD)) == (7, 0)
        assert jobs.is_postponed(instance) and not jobs.is_postponed(other)
        assert (jobs.depth(), jobs.describe(instance), jobs.origins([instance])) == (0, "scheduled", [QUEUE])
        assert not jobs.enqueue(instance), "it is put off, and a second copy of the object does not change that"
        jobs.end([instance])
        assert not jobs.is_postponed(instance)
        assert jobs.postpone(instance, Delay.LOCKED) == 15
        client.persist(f"rq:job:{job_id(instance)}")  # as another program may
        assert not jobs.is_postponed(instance)


@pytest.mark.parametrize(
    "wrote", [b"1000000", b"-1000000", b"9223372036854775807", b"-9223372036854775808", b"nan", b""]
)
def test_a_number_that_nobody_counts_to_gives_up_nothing_and_tries_nothing_for_ever(
    redis_server: RedisServer, wrote: bytes
) -> None:
    with redis_server.client() as client:
        jobs, instance = ScoreQueue(client), an_instance()
        for name in ("cxr-triage:failures", "cxr-triage:deaths"):
            client.hset(name, instance.key, wrote)  # type: ignore[arg-type]
        assert jobs.deaths([instance]) == [0]
        jobs.count_death(instance)
        assert jobs.deaths([instance]) == [1]
        assert [jobs.count_failure(instance) for _ in range(3)] == [1, 2, 3]
