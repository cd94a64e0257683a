"""Silent installation: from the worker's decision to everybody who might show it."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.delivery.test_deliverer import a_deliverer
from tests.scoring.test_batch import Bench, sessions
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive
from triage.decision.records import decision_from
from triage.decision.types import Tag, TriageDecision
from triage.delivery.outbox import Outbox
from triage.metrics.worker import WorkerMetrics
from triage.model.session import ModelSession
from triage.operations.compare import ComparisonTurns, compare
from triage.operations.explain import explanation
from triage.operations.reconcile import SharedState, SweepResult, sweep
from triage.operations.retention import AgeLimits, remove_old
from triage.operations.trace import gather
from triage.queue.score_queue import ScoreQueue
from triage.runtime.child_pool import DecodePool
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_check import IndexCheck
from triage.worklist.reader_acts import ReadNotice, Via, record_notice
from triage.worklist.workitem_store import Workitems, workitem_uid

__all__ = ["sessions"]  # the fixture
DAY = 24 * 3600.0


class Site:
    """A worker that is silent, and all that could show what it wrote."""

    def __init__(
        self,
        spool: Spool,
        sessions: dict[str, ModelSession],
        pool: DecodePool,
        server: RedisServer,
        silent: bool = True,
    ) -> None:
        self.spool, self.client = spool, server.client()
        self.client.flushall()
        self.index, self.jobs = IndexedWorklist(self.client), ScoreQueue(self.client)
        self.index.end_building(self.index.begin_building())
        self.registry = CollectorRegistry()
        self.metrics, self.turns = WorkerMetrics(self.registry), ComparisonTurns(at_once=3)
        self._parts = (spool, sessions, pool)
        self.set_silent(silent)

    def set_silent(self, silent: bool) -> None:
        """Make the worker anew with this setting, as a start does."""
        self.bench = Bench(*self._parts, silent=silent)

    def score(self, *files: bytes) -> list[TriageDecision]:
        """Score, and index as the worker does."""
        return self.work(*[receive(self.spool, file) for file in files])

    def work(self, *instances: Any) -> list[TriageDecision]:
        assert self.bench.work(instances) == []
        self.index.put_all(self.bench.indexed.values())
        return [decision_from(self.spool.decision(each.study_instance_uid) or {}) for each in instances]

    def sweep(self) -> SweepResult:
        comparing = partial(compare, self.spool, self.index, IndexCheck(self.client), self.metrics, self.turns)
        state = SharedState(self.spool, self.jobs, self.index)
        return sweep(state, self.metrics, AgeLimits(now=time.time()), compare=comparing)

    def listed(self) -> list[str]:
        return [each.study_instance_uid for each in self.index.page(None, 100, time.time()).entries]


@pytest.fixture
def site(spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool, redis_server: RedisServer) -> Site:
    return Site(spool, sessions, pool, redis_server)


def test_nothing_of_a_silent_study_is_listed_told_or_shown_and_it_is_recorded(site: Site) -> None:
    (decision,) = site.score(a_chest(1, age="003Y"))
    uid = decision.study_instance_uid
    assert (decision.tag, decision.silent, site.listed(), site.bench.marked) == (Tag.ABNORMAL, True, [], [])
    assert site.bench.counted("study_decisions_total", tag="ABNORMAL") == 1
    assert "SILENT" in explanation(gather(uid, site.spool, lambda instance: ""), time.time()).upper()
    deliverer = a_deliverer(site.spool, free_port())
    Outbox(site.spool).mark(uid, "pacs")  # a mark from whomever
    deliverer.round()
    assert Outbox(site.spool).records(uid) == [] and Outbox(site.spool).marked("pacs") == []
    items = Workitems(site.spool, "list", low=False)
    assert items.current(uid) is None and items.get(workitem_uid(uid, 1)) is None
    assert items.change(workitem_uid(uid, 1), lambda state, raised: state) is None
    report = ReadNotice(time.time(), "RIS", Via.REPORT, "1")
    record_notice(site.spool, site.index, uid, report)  # known by its UID, and recorded
    assert site.listed() == [] and site.sweep().repaired == 0


def test_it_stays_so_whatever_is_lost(site: Site) -> None:
    silent = site.score(*[a_chest(number) for number in range(1, 7)])  # more than a sweep looks at
    site.set_silent(False)
    (shown,) = site.score(a_chest(20))
    for _ in range(5):
        assert (site.sweep().repaired, site.listed()) == (0, [shown.study_instance_uid])
    site.client.flushall()
    assert site.sweep().rebuilt and site.listed() == [shown.study_instance_uid]
    site.turns = ComparisonTurns(at_once=3)  # another process
    assert (site.sweep().rebuilt, site.listed()) == (False, [shown.study_instance_uid])
    for turns in (site.turns, ComparisonTurns(), ComparisonTurns(at_once=3)):
        site.turns = turns
        site.index.put_over(silent[0])  # an entry that is not ours
        site.sweep()
        assert site.listed() == [shown.study_instance_uid]


def test_an_image_that_comes_after_going_live_lists_its_study_and_an_old_one_does_not(site: Site) -> None:
    (first,) = site.score(a_chest(1, age="003Y"))
    late = receive(site.spool, a_chest(1, age="003Y", view="LL"))  # came, and was not looked at before a restart
    buried = receive(site.spool, a_chest(2))
    site.bench.scorer.give_up(buried, "a worker's trouble", 3)
    site.set_silent(False)
    site.spool.requeue(buried)
    (again,) = site.work(buried)
    assert again.silent and site.listed() == [] and site.bench.marked == []
    (shown,) = site.work(late)
    assert not shown.silent and shown.tag is Tag.ABNORMAL
    assert site.listed() == site.bench.marked == [first.study_instance_uid]
    assert site.sweep().repaired == 0


def test_what_people_know_is_followed_while_new_studies_are_silent(site: Site) -> None:
    site.set_silent(False)
    (known,) = site.score(a_chest(1, age="003Y"))
    site.set_silent(True)
    (followed, new) = site.score(a_chest(1, age="003Y", view="LL"), a_chest(2))
    assert (followed.silent, new.silent) == (False, True)
    assert site.bench.marked == [known.study_instance_uid] == site.listed()


def test_retention_takes_it_for_read(site: Site) -> None:
    (decision,) = site.score(a_chest(1))
    assert remove_old(site.spool, site.index, AgeLimits(time.time() + 29 * DAY, 30)) == (0, 0)
    assert remove_old(site.spool, site.index, AgeLimits(time.time() + 31 * DAY, 30)) == (1, 0)
    assert site.spool.decision(decision.study_instance_uid) is None
