"""A dead letter that is requeued while a newer result is built or sent: the PACS has the newer one in the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.delivery.test_deliverer import Clock, a_deliverer
from tests.support.ports import free_port
from tests.support.receivers import store_scp
from tests.support.requeued import a_requeued_result, assert_the_newest_is_there, deliver_all
from tests.support.studies import a_study
from triage.delivery.message_records import MessageRecords
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryKey, DeliveryState
from triage.delivery.undeliverable import SupersededError
from triage.operations.dead_letters import drop
from triage.spool.spool import Spool

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def pass_time(clock: Clock) -> None:
    clock.at += 40.0


def test_requeued_after_the_round_has_looked_and_before_the_study_is_built(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port, clock)
        result, requeued = a_requeued_result(deliverer), list[str]()
        build = type(deliverer)._build_one

        def requeue_first(self: Any, uid: str, *others: Any) -> Any:
            if not requeued:
                requeued.append(uid)
                result.requeue()
            return build(self, uid, *others)

        monkeypatch.setattr(type(deliverer), "_build_one", requeue_first)
        deliver_all(deliverer, lambda: pass_time(clock))

    assert requeued == [result.study]
    assert_the_newest_is_there(result, scp.received)


def test_requeued_while_the_study_is_built(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port, clock)
        result, threads = a_requeued_result(deliverer), list[Any]()
        put = Outbox.put

        def requeue_first(self: Outbox, *of_message: Any) -> Any:
            threads.append(result.requeue_elsewhere())
            put(self, *of_message)

        monkeypatch.setattr(Outbox, "put", requeue_first)
        deliverer.build()
        threads[0].join()
        deliver_all(deliverer, lambda: pass_time(clock))

    assert_the_newest_is_there(result, scp.received)


@pytest.mark.parametrize("connections", [1, 2])
def test_requeued_while_the_newer_one_is_sent(spool: Spool, connections: int):
    clock = Clock()

    def requeue(_: object) -> None:
        if not requeued:
            requeued.append(True)
            result.requeue()

    requeued = list[bool]()
    with store_scp(before_answer=requeue) as scp:
        deliverer = a_deliverer(spool, scp.port, clock, connections=connections)
        result = a_requeued_result(deliverer)
        a_study(spool, "pacs")
        deliver_all(deliverer, lambda: pass_time(clock))

    assert len(scp.received) == 2  # the other study's, and of this one the newer
    records = deliverer.outbox.records(result.study)
    assert [each.state for each in records] == [DeliveryState.SUPERSEDED, DeliveryState.DELIVERED]
    assert deliverer.outbox.waiting("pacs") == []


def test_two_messages_of_one_number_are_told_apart_by_their_revision(spool: Spool):
    """As an earlier release left them: the record is that of the newer one."""
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = a_study(spool, "pacs")
        deliverer.build()
        (newer,) = deliverer.outbox.waiting("pacs")
        older = newer.name.replace(newer.revision, "0" * 32).replace(f"{newer.due:015d}", f"{newer.due - 5:015d}")
        spool.entries("outbox", "pacs").put(older, b"of an older result")
        deliverer.round()

    assert len(scp.received) == 1 and scp.received[0] != b"of an older result"
    assert [each.state for each in deliverer.outbox.records(study)] == [DeliveryState.DELIVERED]
    assert deliverer.outbox.waiting("pacs") == []


def test_a_dead_letter_beneath_another_message_of_its_number_is_not_requeued(spool: Spool):
    deliverer = a_deliverer(spool, free_port())
    result = a_requeued_result(deliverer)
    name = result.key.file_name.rpartition("+")[0] + "+" + "0" * 32
    spool.entries("undeliverable", "pacs").put(name, b"of another result")

    with pytest.raises(SupersededError):
        deliverer.outbox.dead.requeue(DeliveryKey("pacs", name), 1.0)
    deliverer.outbox.dead.drop(DeliveryKey("pacs", name), 1.0)
    assert [each.state for each in deliverer.outbox.records(result.study)] == [DeliveryState.DEAD]


def test_a_crash_in_the_midst_of_requeueing_leaves_a_dead_letter(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        a_study(spool, "pacs")
        deliverer.build()
        (item,) = deliverer.outbox.waiting("pacs")
        deliverer.outbox.dead.bury(item, "refused", 1.0)

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
            dying.setattr(MessageRecords, "put", die)
            deliverer.outbox.dead.requeue(item.key, deliverer.now())
        deliverer.round()

    assert scp.received == [] and deliverer.outbox.waiting("pacs") == []
    assert [key for key, *_ in deliverer.outbox.dead.letters("pacs")] == [item.key]


def test_no_mark_is_made_for_a_dead_letter_that_is_not_there(spool: Spool):
    deliverer = a_deliverer(spool, free_port())
    with pytest.raises(FileNotFoundError):
        deliverer.outbox.dead.requeue(DeliveryKey("pacs", "1.2.3"), 1.0)

    assert deliverer.outbox.marked("pacs") == [] and not spool.has_study("1.2.3")


@pytest.mark.parametrize(("status", "state"), [(0x0000, DeliveryState.DELIVERED), (0xA700, DeliveryState.DROPPED)])
def test_what_is_dropped_while_it_is_sent_stays_gone(spool: Spool, status: int, state: DeliveryState):
    def drop_all(_: object) -> None:
        drop(deliverer.outbox, "pacs", 1.0)

    with store_scp(status, before_answer=drop_all) as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = a_study(spool, "pacs")
        deliverer.round()

    assert [each.state for each in deliverer.outbox.records(study)] == [state]
    assert deliverer.outbox.waiting("pacs") == []
