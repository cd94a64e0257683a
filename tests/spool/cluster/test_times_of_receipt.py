"""Which content of an image is current, and whether an image is newer than a report: by the database's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.scoring.test_batch import Bench, changed
from tests.support.cluster_bench import bench, sessions, store
from tests.support.redis_server import RedisServer
from tests.support.report_sender import report
from tests.support.service import a_chest, receive
from triage.decision.decide import current_assessments
from triage.decision.records import assessment_from
from triage.decision.types import Tag
from triage.inbound_reports.early_store import NoEarlyReports
from triage.inbound_reports.receiver import ReportReceiver
from triage.metrics.reports import ReportMetrics
from triage.operations.trace import gather
from triage.service.reports import report_policy
from triage.settings.sections.reports import ReportsSettings
from triage.spool.clock import Clock
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.instance import ReceivedInstance
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_act import ReadNotice, Via
from triage.worklist.reader_acts import Act, acts_of, record_notice

__all__ = ["bench", "sessions", "store"]  # fixtures


@pytest.fixture
def index(redis_server: RedisServer) -> Iterator[IndexedWorklist]:
    with redis_server.client() as client:
        yield IndexedWorklist(client)


def received(store: ClusterStore, file: bytes, ahead_s: float) -> ReceivedInstance:
    """Receive an object at a host whose clock is ahead by so much."""
    return receive(store, file, received_at=time.time() + ahead_s)  # type: ignore[arg-type]


def test_the_content_that_came_last_counts_whatever_the_receiving_hosts_clocks_show(bench: Bench, store: ClusterStore):
    first = a_chest(0)
    instances = [received(store, first, ahead_s=50.0)]
    assert bench.work(instances) == [] and bench.only().tag is Tag.NORMAL
    instances.append(received(store, changed(first, PatientAge=""), ahead_s=-50.0))  # its correction
    assert bench.work(instances[1:]) == []

    assert bench.only().tag is Tag.NOT_ASSESSED
    found = [assessment_from(each) for each in store.assessments(instances[0].study_instance_uid)]
    assert [each.content_digest for each in current_assessments(found)] == [instances[1].content_digest]
    assert {each.content_digest: each.received_at for each in found} == {
        each.content_digest: stored.received_at()
        for each in instances
        if (stored := store.stored_object(each)) is not None
    }


def test_an_object_that_is_given_up_came_when_its_row_says(bench: Bench, store: ClusterStore):
    instance = received(store, a_chest(0), ahead_s=600.0)
    bench.scorer.give_up(instance, "of the test", 3)
    (record,) = store.assessments(instance.study_instance_uid)
    assert record["received_at"] == store.stored_object(instance).received_at()  # type: ignore[union-attr]


def test_what_is_explained_has_the_same_time(bench: Bench, store: ClusterStore):
    instance = received(store, a_chest(0), ahead_s=600.0)
    assert bench.work([instance]) == []
    (traced,) = gather(instance.study_instance_uid, store).objects
    assert traced.assessment is not None
    assert traced.receipt.received_at == traced.assessment.received_at
    assert traced.receipt.calling_ae_title == "TEST"


def test_an_image_is_newer_than_an_earlier_report_though_its_host_was_behind(
    bench: Bench, store: ClusterStore, index: IndexedWorklist
):
    Clock(store).trust()
    instance = received(store, a_chest(0), ahead_s=-600.0)
    assert bench.work([instance]) == []
    index.put_all([bench.only()])
    uid = instance.study_instance_uid
    made = ReadNotice(at=time.time() - 300.0, who="RIS", through=Via.REPORT, source="1")  # of earlier images

    step, new = record_notice(store, index, uid, made)
    assert new and step.act is Act.OUTDATED


def test_a_report_without_a_time_came_by_the_database_s_clock(
    bench: Bench, store: ClusterStore, index: IndexedWorklist
):
    Clock(store).trust()
    instance = received(store, changed(a_chest(0), PatientID="P-1"), ahead_s=0.0)
    assert bench.work([instance]) == []
    index.put_all([bench.only()])
    index.end_building(index.begin_building())
    policy = report_policy(ReportsSettings(), frozenset())
    ahead = partial(ReportReceiver, now=lambda: time.time() + 50.0)
    message = report(uid=instance.study_instance_uid, accession="A0").encode()
    ahead(store, index, policy, ReportMetrics(), NoEarlyReports()).receive(message)

    (step,) = acts_of(store, instance.study_instance_uid)
    assert step.act is Act.READ and step.at < time.time() + 25.0


def test_a_decision_is_made_at_a_time_of_the_database(
    bench: Bench, store: ClusterStore, monkeypatch: pytest.MonkeyPatch
):
    instance, now = received(store, a_chest(0), ahead_s=0.0), time.time()
    started = bench.scorer.start([instance])
    scored = bench.scorer.score(started)
    monkeypatch.setattr(time, "time", lambda: now + 50.0)  # of the worker's host
    assert bench.scorer.settle(scored) == []
    assert bench.only().tagged_at < now + 25.0
    assert bench.only().received_at <= bench.only().tagged_at
