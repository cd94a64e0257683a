"""What we use and override of RQ, against the installed release on a real Redis: one that changes it fails here."""

from __future__ import annotations

import ast
import inspect
import logging
import signal
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Callback, Queue, SimpleWorker
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.suspension import suspend
from rq.webhook import Webhook

import triage
from tests.support.redis_server import RedisServer
from triage.queue import rq_adapter
from triage.queue.rq_adapter import JobLimits, RestrictedWorker, ScoreJob, has_callbacks, new_job, open_queue, read_job

NAME = "score"
OVERRIDDEN = (
    "_install_signal_handlers",
    "subscribe",
    "unsubscribe",
    "run_maintenance_tasks",
    "check_for_suspension",
    "execute_job",
    "dequeue_job_and_maintain_ttl",
    "heartbeat",
)


@pytest.fixture
def client(redis_server: RedisServer) -> Redis:
    return redis_server.client()


class Collector(RestrictedWorker):
    """A worker that collects jobs, and says what it was asked to do on the way."""

    def __init__(self, client: Redis) -> None:
        super().__init__("collector", client, open_queue(NAME, client))
        self.calls: set[str] = set()
        self.jobs: list[Job] = []

    def __getattribute__(self, name: str) -> object:
        if name in OVERRIDDEN:
            super().__getattribute__("calls").add(name)
        return super().__getattribute__(name)

    def execute_job(self, job: Job, queue: Queue) -> None:
        self.jobs.append(job)


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_rq_has_each_method_that_is_overridden_with_these_parameters(name: str) -> None:
    theirs = inspect.signature(getattr(SimpleWorker, name)).parameters
    ours = inspect.signature(getattr(RestrictedWorker, name)).parameters
    assert list(theirs) == list(ours)


def test_the_loop_of_rq_calls_each_of_them_and_does_nothing_else_that_redis_can_steer(client: Redis) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    suspend(client)
    open_queue(NAME, client).enqueue_call("nowhere.score", args=["key"], job_id="one")
    client.sadd(f"rq:workers:{NAME}", "rq:worker:gone")
    worker = Collector(client)
    assert worker.work(burst=True, logging_level="ERROR")
    assert worker.calls == set(OVERRIDDEN)
    assert [(type(job), job.func_name, job.args) for job in worker.jobs] == [(ScoreJob, "nowhere.score", ["key"])]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert worker.pubsub is None
    assert not client.smembers(f"rq:workers:{NAME}")
    assert not client.exists(f"rq:clean_registries:{NAME}"), "rq's own maintenance"
    assert worker.worker_ttl == rq_adapter.WORKER_TTL_S


CALLS = {
    "on_success": Callback("os.abort"),
    "on_failure": Callback("os.abort"),
    "on_stopped": Callback("os.abort"),
    "webhooks": [Webhook("http://127.0.0.1/", JobStatus.FINISHED)],
}


@pytest.mark.parametrize("name", CALLS)
def test_a_callback_that_rq_wrote_is_seen(client: Redis, name: str) -> None:
    plain = Job.create("os.getcwd", id="plain", connection=client, serializer=JSONSerializer)
    other = Job.create("os.getcwd", id="o", connection=client, serializer=JSONSerializer, **{name: CALLS[name]})
    for job in (plain, other):
        job.save()
    found = [read_job(job.id, client.hgetall(job.key), client) for job in (plain, other)]
    assert [has_callbacks(each) for each in found] == [False, True]


def test_the_keys_are_those_that_our_documents_name() -> None:
    assert (rq_adapter.job_key("1"), rq_adapter.worker_key("w")) == ("rq:job:1", "rq:worker:w")
    assert rq_adapter.key_types(("a", "b")) == {
        **dict.fromkeys(("rq:queue:a", "rq:queue:b", "rq:queue:a:intermediate", "rq:queue:b:intermediate"), "list"),
        **dict.fromkeys(("rq:failed:a", "rq:failed:b"), "zset"),
        **dict.fromkeys(("rq:queues", "rq:workers", "rq:workers:a", "rq:workers:b"), "set"),
    }


def test_a_job_that_we_save_is_as_rq_saves_it(client: Redis) -> None:
    limits = JobLimits(60, 70, 80)
    queue = open_queue(NAME, client)
    queue.enqueue_call(
        "nowhere.score", ["key"], timeout=60, ttl=70, result_ttl=0, failure_ttl=80, job_id="theirs", description="1.2"
    )
    ours = new_job(queue, "theirs", "1.2", "nowhere.score", "key", limits)
    client.hset("ours", mapping=dict(zip(ours[::2], ours[1::2], strict=True)))
    theirs = client.hgetall("rq:job:theirs")
    saved = client.hgetall("ours")
    assert saved.keys() == theirs.keys() - {b"origin"}
    assert {name for name in saved if saved[name] != theirs[name]} <= {b"created_at", b"enqueued_at"}


def test_no_other_file_imports_rq() -> None:
    found = set()
    for path in Path(triage.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.partition(".")[0] == "rq" for name in names):
                found.add(path.relative_to(Path(triage.__file__).parent).as_posix())
    assert found == {"queue/rq_adapter.py"}


def test_an_outage_between_two_jobs_is_one_line_without_a_traceback(
    client: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ logs it with a traceback, as an unhandled exception, which looks like a defect."""
    worker = Collector(client)
    logging.getLogger("rq.worker").propagate = True

    def lost(self: RestrictedWorker, *arguments: object) -> None:
        raise RedisConnectionError("Connection closed by server.")

    monkeypatch.setattr(Collector, "dequeue_job_and_maintain_ttl", lost)
    with caplog.at_level(logging.ERROR, "rq.worker"):
        worker.work(burst=True, logging_level="ERROR")
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
        ("Redis: Connection closed by server.; trying again", None)
    ]
