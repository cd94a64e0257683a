"""The deliverer on a store in PostgreSQL: a dead letter that is requeued meanwhile, and writes that are refused."""

from __future__ import annotations

import errno
import json
from contextlib import ExitStack
from typing import Any

import pytest

from tests.delivery.test_deliverer import Clock, a_deliverer
from tests.spool.cluster.test_transactions import setting
from tests.support.cluster import Cluster
from tests.support.failing_buckets import FailingKeys
from tests.support.receivers import store_scp
from tests.support.requeued import a_requeued_result, assert_the_newest_is_there, deliver_all
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.decision.types import Tag
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.places import UNREAD
from triage.delivery.record import DeliveryState
from triage.spool.clock import time_of
from triage.spool.study import GIVEN_UP_AFTER_S

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("moment", ["before it is built", "while it is built"])
def test_a_dead_letter_that_is_requeued_while_a_newer_result_is_built(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, moment: str
):
    clock, threads = Clock(), list[Any]()
    build, put = Deliverer._build_one, Outbox.put

    def build_later(self: Any, uid: str, *others: Any) -> Any:
        if not threads:
            threads.append(result.requeue_elsewhere())
            threads[0].join()
        return build(self, uid, *others)

    def put_later(self: Outbox, *of_message: Any) -> None:
        threads.append(result.requeue_elsewhere())
        put(self, *of_message)

    def pass_time() -> None:
        threads[0].join()
        clock.at += 40.0

    with store_scp() as scp:
        deliverer = a_deliverer(cluster.open(), scp.port, clock)  # type: ignore[arg-type]
        result = a_requeued_result(deliverer)
        if moment == "before it is built":
            monkeypatch.setattr(Deliverer, "_build_one", build_later)
        else:
            monkeypatch.setattr(Outbox, "put", put_later)
        deliver_all(deliverer, pass_time)

    assert_the_newest_is_there(result, scp.received)


def test_a_database_that_reads_and_does_not_write_has_a_message_sent_once_at_most(cluster: Cluster):
    clock, read_only = Clock(), ExitStack()

    def stop_writing(_: object) -> None:
        read_only.enter_context(setting(cluster, "default_transaction_read_only", "on"))

    with store_scp(before_answer=stop_writing) as scp:
        deliverer = a_deliverer(cluster.open(), scp.port, clock)  # type: ignore[arg-type]
        study = a_study(deliverer.spool, "pacs")  # type: ignore[arg-type]
        with read_only:
            for _ in range(4):
                with pytest.raises(OSError, match="read-only"):
                    deliverer.round()
                clock.at += 60.0
        times, scp.before_answer = len(scp.received), lambda event: None
        deliverer.round()

    assert times == 1 and [each.state for each in deliverer.outbox.records(study)] == [DeliveryState.DELIVERED]
    assert len(scp.received) == 2 and len(set(scp.received)) == 1


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.EAGAIN, errno.ENOENT])
def test_a_key_that_cannot_be_read_for_a_moment_costs_no_message_its_patient(cluster: Cluster, number: int):
    clock, failing = Clock(), dict[str, int]()
    bucket = FailingKeys(cluster.bucket.folder, failing)
    store = cluster.open(bucket)
    with store_scp() as scp:
        deliverer = a_deliverer(store, scp.port, clock)  # type: ignore[arg-type]
        for _ in range(2):
            a_study(store)  # type: ignore[arg-type]
        study = a_study(store, "pacs")  # type: ignore[arg-type]
        (instance,) = store.objects_of(study)
        stored = store.stored_object(instance)
        assert stored is not None
        failing[stored.key] = number
        deliverer.round()
        other = a_deliverer(cluster.open(bucket), scp.port, clock)  # type: ignore[arg-type]
        clock.at += GIVEN_UP_AFTER_S + 60.0  # another host's clock is ahead: that makes it no later
        other.round()
        assert not scp.received and other.outbox.to_be_told(study) == ("pacs",)
        clock.at += 60.0
        note = {"since": time_of(store) - GIVEN_UP_AFTER_S}
        store.entries(UNREAD, "pacs").put(study, json.dumps(note))
        if number == errno.ENOENT:  # the object is lost for good
            other.round()
            assert [record.lacks_images for record in other.outbox.records(study)] == [True]
            return
        failing.clear()
        other.round()
    assert [record.lacks_images for record in other.outbox.records(study)] == [False] and len(scp.received) == 1


def test_a_study_that_another_process_holds_holds_up_no_other(cluster: Cluster):
    """Nothing of it leaves meanwhile; it is built when its lock is free."""
    clock = Clock()
    store, elsewhere = cluster.open(statement_timeout_s=1.0), cluster.open()
    with store_scp() as scp:
        deliverer = a_deliverer(store, scp.port, clock)  # type: ignore[arg-type]
        held, other = (a_study(store, "pacs", attributes={"PatientID": each}) for each in ("P-1", "P-2"))  # type: ignore[arg-type]
        with elsewhere.study_lock(held):
            deliverer.round()
            assert deliverer.outbox.to_be_told(held) == ("pacs",) and deliverer.outbox.to_be_told(other) == ()
            assert len(scp.received) == 1
        clock.at += 60.0
        deliverer.round()
    assert len(scp.received) == 2 and not deliverer.outbox.dead.count("pacs")


def test_a_normal_that_waits_does_not_leave_when_the_abnormal_one_after_it_cannot_be_built(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    """What was written in the transaction that failed is undone."""

    def failing(*_: object) -> None:
        raise ValueError("odd")

    clock, store = Clock(), cluster.open()
    with store_scp() as scp:
        deliverer = a_deliverer(store, scp.port, clock)  # type: ignore[arg-type]
        study = a_study(store, "pacs", tag=Tag.NORMAL)  # type: ignore[arg-type]
        deliverer.outbox.set_disabled("pacs", True)
        deliverer.round()  # built
        deliverer.outbox.set_disabled("pacs", False)
        add_image(store, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)  # type: ignore[arg-type]
        settle(store, study, "pacs")  # type: ignore[arg-type]
        monkeypatch.setattr(type(deliverer.channel), "build", failing)
        clock.at += 100.0
        for _ in range(2):
            deliverer.round()
    assert deliverer.outbox.dead.count("pacs") == 1 and not scp.received
    assert [record.state for record in deliverer.outbox.records(study)] == [DeliveryState.SUPERSEDED]
