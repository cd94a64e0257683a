"""kill -9 at named points of real processes: nothing that was acknowledged is lost or judged twice."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dicom_peer import DX, RawPeer, data_set_of, response_status
from tests.support.in_process_worker import Workplace
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import ROLE, Roles, a_chest, assert_one_result_each, is_done, read_bytes, roles
from tests.support.tiny_adult import sessions
from tests.support.wait import wait_for
from triage.canary.partition import open_partition
from triage.model.session import ModelSession
from triage.operations.reconcile import SharedState, sweep
from triage.operations.retention import AgeLimits
from triage.runtime.child_pool import DecodePool
from triage.runtime.sockets import open_port

__all__ = ["sessions"]  # a fixture

DYING = [sys.executable, "-m", "tests.support.kill_at"]
KILLED = -signal.SIGKILL

IN_THE_WORKER = {
    "taken from the queue": ("before", "triage.scoring.worker:BatchWorker.execute_job"),
    "being decoded": ("before", "triage.scoring.batch:BatchScorer.score"),
    "scored, the next batch being scored": ("before", "triage.scoring.batch:BatchScorer.settle"),
    "scored, and nothing written": ("before", "triage.spool.spool:Spool.write_assessment"),
    "one assessment of the batch written": ("after", "triage.spool.spool:Spool.write_assessment"),
    "assessments written, no decision": ("before", "triage.spool.spool:Spool.write_decision"),
    "one decision of the batch written": ("after", "triage.spool.spool:Spool.write_decision"),
    "decisions written, not in the index": ("before", "triage.worklist.index:IndexedWorklist.put_all"),
    "in the index, still in the inbox": ("before", "triage.spool.spool:Spool.file"),
    "one object of the batch filed": ("after", "triage.spool.spool:Spool.file"),
    "filed, its job not ended": ("before", "triage.queue.score_queue:ScoreQueue.end"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult", bias=-10)
    return folder


@pytest.fixture
def running(tmp_path: Path, redis_server: RedisServer, models: Path) -> Iterator[Roles]:
    with roles(tmp_path, redis_server.url, models, worker_batch_size="2") as running:
        open_partition(running.spool)  # made at the first start: the points are to be met in the work itself
        yield running


@pytest.fixture
def healthy(
    running: Roles, redis_server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool
) -> Workplace:
    """A worker of this process that takes over."""
    return Workplace(running.spool, redis_server, sessions, pool)


@pytest.mark.parametrize("point", IN_THE_WORKER)
def test_a_worker_that_is_killed_loses_nothing(running: Roles, healthy: Workplace, point: str) -> None:
    front, side = a_chest(1), a_chest(1, view="LL")
    instances = healthy.queued(front, side, a_chest(2), a_chest(3))
    dying = running.start(*IN_THE_WORKER[point], "work", command=DYING)
    assert dying.wait() == KILLED

    healthy.sweep()  # what a worker does first
    healthy.work()
    assert_one_result_each(running.spool, running.redis_url, instances)
    assert healthy.index.count() == 3
    assert not list(running.spool.incoming.iterdir())
    assert all(healthy.client.ttl(job) > 0 for job in healthy.client.scan_iter("rq:job:*"))


def test_a_worker_process_takes_up_at_once_what_a_killed_one_left(running: Roles, healthy: Workplace) -> None:
    instances = healthy.queued(a_chest(1), a_chest(2), a_chest(3))
    assert running.start("before", "triage.spool.spool:Spool.sync", "work", command=DYING).wait() == KILLED
    running.start("work", command=ROLE)
    wait_for(lambda: is_done(running.spool), "the next worker")
    assert_one_result_each(running.spool, running.redis_url, instances)


@pytest.fixture
def port(running: Roles) -> int:
    with open_port("127.0.0.1", 0, shared=False) as free:
        number: int = free.getsockname()[1]
    running.settings["TRIAGE_LISTENER_PORT"] = str(number)
    return number


def answer(port: int, file: bytes) -> int | None:
    """The status that a C-STORE of ``file`` gets; None if the listener dies without a word."""
    with RawPeer(port) as peer:
        peer.associate()
        peer.send_store(DX, str(read_bytes(file).SOPInstanceUID), data_set_of(file))
        try:
            kind, body = peer.receive()
        except ConnectionError:
            return None
        return response_status(body[6:]) if kind == 0x04 else None


def test_a_listener_that_is_killed_before_the_rename_has_acknowledged_nothing(
    running: Roles, healthy: Workplace, port: int
) -> None:
    dying = running.start("before", "triage.spool.spool:Spool._rename", "listen", command=DYING)
    wait_for(lambda: dying.said("listening as"), "the listener")
    assert answer(port, a_chest(1)) is None
    assert dying.wait() == KILLED
    assert is_done(running.spool)
    (half,) = running.spool.incoming.iterdir()

    following = running.start("listen")
    wait_for(lambda: following.said("listening as"), "the next listener")
    assert answer(port, a_chest(1)) == 0x0000
    (instance,) = running.spool.waiting()
    healthy.sweep()
    healthy.work()
    assert_one_result_each(running.spool, running.redis_url, [instance])
    later = half.stat().st_mtime + 7200
    sweep(SharedState(running.spool, healthy.jobs, healthy.index), healthy.metrics, AgeLimits(now=later))
    assert not list(running.spool.incoming.iterdir())


@pytest.mark.parametrize(
    "point",
    [("after", "triage.spool.spool:Spool._rename"), ("before", "triage.queue.score_queue:ScoreQueue.enqueue")],
    ids=["before the answer", "before the queue is told"],
)
def test_a_listener_that_is_killed_after_the_rename_loses_nothing(
    running: Roles, healthy: Workplace, port: int, point: tuple[str, str]
) -> None:
    dying = running.start(*point, "listen", command=DYING)
    wait_for(lambda: dying.said("listening as"), "the listener")
    status = answer(port, a_chest(1))
    assert dying.wait() == KILLED
    assert status in (0x0000, None)
    (instance,) = running.spool.waiting()
    assert healthy.jobs.depth() == 0

    following = running.start("listen")
    wait_for(lambda: following.said("listening as"), "the next listener")
    assert answer(port, a_chest(1)) == 0x0000  # what a PACS does that heard nothing
    assert list(running.spool.waiting()) == [instance]
    healthy.sweep()
    healthy.work()
    assert_one_result_each(running.spool, running.redis_url, [instance])
