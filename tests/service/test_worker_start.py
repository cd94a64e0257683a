"""The start of a worker: what waits without a job is queued, and nothing goes by its age."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.operations.test_reconcile import DAY, arrived, tagged
from tests.support.builders import an_instance
from tests.support.redis_server import RedisServer
from triage.metrics.reconcile import ReconcileMetrics
from triage.queue.score_queue import ScoreQueue
from triage.service.reconciler import Reconciler
from triage.settings.schema import Settings
from triage.spool.clock import Clock, read_clocks
from triage.spool.spool import Spool


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {"spool": {"retention_days": 30, "quarantine_days": 7}, "worklist": {"expire_after_days": 7}}
    )


def test_a_worker_queues_what_waits_and_removes_nothing_by_age(
    spool: Spool, settings: Settings, redis_server: RedisServer, tmp_path: Path
) -> None:
    Clock(spool).trust()
    now = read_clocks().at
    tagged(spool, "1.2.1", now - 31 * DAY, read=True)
    tagged(spool, "1.2.2", now - 31 * DAY)
    arrived(spool, an_instance("1.2.3", "1.2.3.1"))
    part = spool.new_part()
    part.touch()
    os.utime(part, (1.0, 1.0))
    noted = Clock(spool).read()
    reconciler = Reconciler(settings, spool, redis_server.url, ReconcileMetrics())

    started = reconciler.repair()
    assert (started.requeued, started.removed, started.expired) == (1, 0, 0)
    assert spool.has_study("1.2.1") and part.exists() and Clock(spool).read() == noted

    with redis_server.client() as client:
        assert len(list(ScoreQueue(client).jobs())) == 1

    swept = reconciler.run()
    assert (swept.removed, swept.expired) == (1, 1) and not part.exists()
