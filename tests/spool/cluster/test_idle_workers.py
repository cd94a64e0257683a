"""A worker that waits for work while its lease is taken from it, as after an outage of the database."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.in_process_worker import Workplace
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest
from tests.support.wait import wait_for
from triage.model.session import ModelSession
from triage.queue import rq_adapter
from triage.queue.score_queue import connect
from triage.runtime.child_pool import DecodePool
from triage.scoring.worker import WorkerSetup, run

_DECLARED_DEAD = "UPDATE lease SET ended = true, token = gen_random_uuid() WHERE tenant = '{}' AND kind = 'worker'"


@pytest.fixture
def place(cluster: Cluster, redis_server: RedisServer, tmp_path: Path, pool: DecodePool) -> Workplace:
    card = write_model(tmp_path / "models", "tiny-adult", bias=-10)
    sessions = {card.name: ModelSession(tmp_path / "models" / card.name, card, threads=1)}
    return Workplace(cluster.open(), redis_server, sessions, pool)


@pytest.fixture
def signals() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def test_it_holds_a_new_name_before_it_takes_work(
    signals: None, place: Workplace, cluster: Cluster, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rq_adapter, "WORKER_TTL_S", 16)  # it polls each second, not each half minute
    begun, found = list[str](), list[tuple[int, int]]()

    def outage() -> None:
        try:
            wait_for(lambda: len(begun) == 1, "the worker to be at work")
            cluster.server.command(_DECLARED_DEAD.format(cluster.address.tenant))
            wait_for(lambda: len(begun) == 2, "the worker to begin anew")
            found.append((cluster.open().workers.count()[0], len(begun)))
            (instance,) = place.queued(a_chest(0))
            wait_for(lambda: place.spool.is_filed(instance), "the object to be tagged")
            found.append((cluster.open().workers.count()[0], len(begun)))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    meanwhile = threading.Thread(target=outage)
    meanwhile.start()
    setup = WorkerSetup(place.places, 16, 3, place.metrics, place.stop)
    run(place.spool, setup, lambda: connect(redis_server.url, 5.0), begun.append)
    meanwhile.join()
    assert found == [(1, 2), (1, 2)]
