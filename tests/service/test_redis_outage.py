"""Redis killed, emptied and stalled under real processes: while objects arrive, and while a batch is in work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.dicom_peer import store
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import Role, Roles, a_chest, assert_one_result_each, is_done, read_bytes, receive, roles
from tests.support.wait import wait_for
from triage.queue.score_queue import ScoreQueue, connect
from triage.runtime.sockets import open_port

STALL_S = 6.0  # longer than a client of Redis waits for an answer


def killed(server: RedisServer) -> None:
    server.kill()
    server.start()


def emptied(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()


def stalled(server: RedisServer) -> None:
    server.stall()
    time.sleep(STALL_S)  # the trouble itself, not a wait for something
    server.resume()


TROUBLES = [killed, emptied, stalled]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult", bias=-10)
    return folder


@pytest.fixture
def running(tmp_path: Path, redis_server: RedisServer, models: Path) -> Iterator[Roles]:
    with open_port("127.0.0.1", 0, shared=False) as free:
        port = str(free.getsockname()[1])
    with roles(tmp_path, redis_server.url, models, worker_batch_size="4", listener_port=port) as running:
        yield running


def started(running: Roles, *names: str) -> list[Role]:
    says = {"listen": "listening as", "work": "", "sweep": ""}
    processes = [running.start(name) for name in names]
    for role, name in zip(processes, names, strict=True):
        wait_for(lambda role=role, name=name: role.said(says[name]), name)
    return processes


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_while_objects_arrive(
    running: Roles, redis_server: RedisServer, trouble: Callable[[RedisServer], None]
) -> None:
    listener, worker, sweep = started(running, "listen", "work", "sweep")
    port = int(running.settings["TRIAGE_LISTENER_PORT"])
    first = [a_chest(number) for number in range(4)]
    later = [a_chest(number) for number in range(4, 10)]
    assert store(port, *map(read_bytes, first)) == [0x0000] * 4
    wait_for(lambda: is_done(running.spool), "the first objects")

    if trouble is stalled:
        redis_server.stall()
        began = time.monotonic()
        assert store(port, *map(read_bytes, later)) == [0x0000] * 6
        time.sleep(max(STALL_S - (time.monotonic() - began), 0))
        redis_server.resume()
    else:
        assert store(port, *map(read_bytes, later[:3])) == [0x0000] * 3
        if trouble is killed:
            redis_server.kill()
        assert store(port, *map(read_bytes, later[3:])) == [0x0000] * 3
        redis_server.start() if trouble is killed else trouble(redis_server)

    wait_for(lambda: is_done(running.spool), "every object")
    everything = [receive(running.spool, file) for file in (*first, *later)]
    assert is_done(running.spool)
    assert_one_result_each(running.spool, running.redis_url, everything)
    assert [role.process.poll() for role in (listener, worker, sweep)] == [None] * 3


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_while_a_batch_is_in_work(
    running: Roles, redis_server: RedisServer, trouble: Callable[[RedisServer], None]
) -> None:
    instances = [receive(running.spool, a_chest(number)) for number in range(24)]
    with connect(redis_server.url, 5.0) as client:
        for instance in instances:
            ScoreQueue(client).enqueue(instance)
    worker, sweep = started(running, "work", "sweep")
    wait_for(lambda: any(map(running.spool.decision, _studies(running, instances))), "the first decision")

    trouble(redis_server)

    wait_for(lambda: is_done(running.spool), "every object")
    assert_one_result_each(running.spool, running.redis_url, instances)
    assert [role.process.poll() for role in (worker, sweep)] == [None] * 2
    for instance in instances:
        assert not (running.spool.dead / f"{instance.key}.dcm").exists()


def _studies(running: Roles, instances: list) -> list[str]:  # type: ignore[type-arg]
    return [instance.study_instance_uid for instance in instances]


def test_a_worker_waits_for_a_redis_that_comes_later(running: Roles, redis_server: RedisServer) -> None:
    redis_server.kill()
    instance = receive(running.spool, a_chest(1))
    (worker,) = started(running, "work")
    wait_for(lambda: worker.said("Redis does not answer"), "the worker to miss Redis")
    redis_server.start()
    wait_for(lambda: is_done(running.spool), "the object")
    assert_one_result_each(running.spool, running.redis_url, [instance])


def test_a_worker_that_is_told_to_stop_while_redis_is_away_stops(running: Roles, redis_server: RedisServer) -> None:
    instance = receive(running.spool, a_chest(1))
    (worker,) = started(running, "work")
    wait_for(lambda: is_done(running.spool), "the object")
    with connect(redis_server.url, 5.0) as client:  # in the middle of a job it would be another error
        wait_for(lambda: not list(client.scan_iter("rq:job:*")), "its job to be ended")
    redis_server.kill()
    # In rq's wait for a job, or between two of them: it says so in other words.
    missed = ("could not connect to Redis", "; trying again")
    wait_for(lambda: any(map(worker.said, missed)), "the worker to miss Redis")
    assert worker.terminate() == 0
    assert "Traceback" not in worker.log.read_text()
    redis_server.start()
    assert running.spool.find(instance) == running.spool.filed_path(instance)


def test_sigterm_in_a_batch_loses_nothing(running: Roles, redis_server: RedisServer) -> None:
    instances = [receive(running.spool, a_chest(number)) for number in range(24)]
    (worker,) = started(running, "work")
    wait_for(lambda: any(map(running.spool.decision, _studies(running, instances))), "the first decision")
    assert worker.terminate() == 0
    assert "Traceback" not in worker.log.read_text()
    left = list(running.spool.waiting())
    with connect(redis_server.url, 5.0) as client:
        states = ScoreQueue(client).states(left)
    assert {status for status, _ in states} <= {"queued"}  # nothing is left as if in work

    started(running, "work")
    wait_for(lambda: is_done(running.spool), "the rest")
    assert_one_result_each(running.spool, running.redis_url, instances)


def test_an_idle_worker_stops_at_once(running: Roles) -> None:
    receive(running.spool, a_chest(1))
    (worker,) = started(running, "work")
    wait_for(lambda: is_done(running.spool), "the object")
    assert worker.terminate(timeout_s=20) == 0
    assert "Traceback" not in worker.log.read_text()


def test_a_redis_that_may_evict_jobs_is_said_at_start(running: Roles, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    (worker,) = started(running, "work")
    wait_for(lambda: worker.said("set it to noeviction"), "the warning")
