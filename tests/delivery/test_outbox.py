"""The outbox's files: what a crash leaves at any point, order, dead letters, retention."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.builders import a_decision
from tests.support.redis_server import RedisServer
from triage.decision.records import to_record
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryKey, DeliveryRecord, DeliveryState, OutgoingObject
from triage.operations.retention import AgeLimits, remove_old
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist

STUDY, REVISION = "1.2.3", "a" * 32


@pytest.fixture
def outbox(spool: Spool) -> Outbox:
    made = Outbox(spool)
    made.prepare(["pacs"])
    spool.study_folder(STUDY).mkdir(parents=True)
    return made


def a_record(**changes: object) -> DeliveryRecord:
    values = {
        "destination": "pacs",
        "number": 1,
        "revision": REVISION,
        "state": DeliveryState.WAITING,
        "tag": "NORMAL",
        "said": ["NORMAL"],
        "identity": {"id": "1"},
        "built_at": 100.0,
        "decided_at": 99.0,
    }
    return DeliveryRecord(**{**values, **changes})  # type: ignore[arg-type]


def put(outbox: Outbox, **changes: object) -> OutgoingObject:
    record = a_record(**changes)
    outbox.put(STUDY, record, b"bytes")
    return next(each for each in outbox.waiting("pacs") if each.number == record.number)


def test_what_is_put_waits_and_is_due_at_once(outbox: Outbox):
    item = put(outbox)

    assert (item.due, item.tries, item.study_instance_uid, item.revision) == (100_000, 0, STUDY, REVISION)
    assert outbox.payload(item) == b"bytes"
    assert OutgoingObject.from_name("pacs", item.name) == item


def test_an_attempt_that_failed_is_in_the_name_and_the_record(outbox: Outbox):
    later = outbox.postpone(put(outbox), "refused", 200.0, 30.0)

    assert outbox.waiting("pacs") == [later]
    assert (later.due, later.tries) == (230_000, 1)
    assert outbox.payload(later) == b"bytes"
    (record,) = outbox.records(STUDY)
    assert record.tries == ({"at": 200.0, "outcome": "retry", "detail": "refused"},)


def test_what_is_delivered_leaves_the_outbox_and_is_kept_with_its_receipt(outbox: Outbox, spool: Spool):
    item = put(outbox)

    assert outbox.delivered(item, "0x0000", 300.0).decided_at == 99.0
    assert outbox.waiting("pacs") == []
    assert outbox.records(STUDY)[0].state is DeliveryState.DELIVERED
    assert (spool.study_folder(STUDY) / "deliveries" / "pacs+0001.sent").read_bytes() == b"bytes"
    assert not outbox.is_undelivered(STUDY)


def test_a_dead_letter_is_listed_requeued_and_dropped(outbox: Outbox):
    outbox.dead.bury(put(outbox), "never", 400.0)
    ((key, at, tries, why),) = outbox.dead.letters("pacs")

    assert (at, tries, why) == (400.0, 1, "never")
    assert outbox.is_undelivered(STUDY)
    outbox.dead.requeue(key, 500.0)
    (item,) = outbox.waiting("pacs")
    assert (item.due, item.tries) == (500_000, 0)
    assert outbox.payload(item) == b"bytes"
    outbox.dead.bury(item, "never", 600.0)
    outbox.dead.drop(key, 700.0)
    assert not list(outbox.dead.letters("pacs"))
    assert outbox.records(STUDY)[0].state is DeliveryState.DROPPED
    assert not outbox.is_undelivered(STUDY)
    with pytest.raises(FileNotFoundError):
        outbox.dead.requeue(key, 800.0)


@pytest.mark.parametrize("key", ["", "pacs", "pacs/../x", "nowhere/1.2.3", "pacs/1.2.3", f"pacs/0001+1.2.9+{REVISION}"])
def test_a_key_of_no_dead_letter_is_refused(outbox: Outbox, key: str):
    with pytest.raises((FileNotFoundError, ValueError)):
        outbox.dead.requeue(DeliveryKey.from_text(key), 1.0)


def test_an_older_result_is_not_requeued_after_a_newer_one_was_delivered(outbox: Outbox):
    outbox.dead.bury(put(outbox), "never", 400.0)
    outbox.delivered(put(outbox, number=2, revision="b" * 32), "0x0000", 500.0)
    ((key, *_),) = outbox.dead.letters("pacs")

    with pytest.raises(ValueError, match="newer"):
        outbox.dead.requeue(key, 600.0)


def test_a_result_that_cannot_be_built_is_a_dead_letter_too(outbox: Outbox):
    outbox.mark(STUDY, "pacs")
    outbox.dead.bury_study(STUDY, "pacs", "cannot be built")

    assert outbox.marked("pacs") == []
    ((key, _, _, why),) = outbox.dead.letters("pacs")
    assert (str(key), why) == (f"pacs/{STUDY}", "cannot be built")
    outbox.dead.requeue(key, 1.0)
    assert [uid for _, uid in outbox.marked("pacs")] == [STUDY]


def test_the_first_mark_counts(outbox: Outbox):
    outbox.mark(STUDY, "pacs")
    first = outbox.marked("pacs")
    outbox.mark(STUDY, "pacs")

    assert outbox.marked("pacs") == first
    assert outbox.is_undelivered(STUDY)


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.SUPERSEDED])
def test_what_a_crash_left_between_record_and_file_is_put_right(outbox: Outbox, spool: Spool, state: DeliveryState):
    item = put(outbox)
    outbox.put(STUDY, a_record(state=state, tries=({"at": 1.0, "outcome": state, "detail": ""},)), b"bytes")

    assert outbox.state(item) is state
    outbox.tidy(item, state, 2.0)
    assert outbox.waiting("pacs") == []
    assert len(list(outbox.dead.letters("pacs"))) == (state is DeliveryState.DEAD)


def test_a_pause_is_remembered_until_it_is_taken_back(outbox: Outbox, spool: Spool):
    assert outbox.pause("pacs") == (0, 0.0, "")
    outbox.set_pause("pacs", 2, 50.0, "silent")
    assert Outbox(spool).pause("pacs") == (2, 50.0, "silent")
    outbox.set_pause("pacs", 0, 0.0, "")
    assert outbox.pause("pacs") == (0, 0.0, "")


def test_what_is_no_file_of_ours_is_passed_over(outbox: Outbox, spool: Spool, caplog: pytest.LogCaptureFixture):
    (spool.root / "outbox" / "pacs" / "notes.txt").touch()
    item = put(outbox)

    assert outbox.waiting("pacs") == [item]
    assert "notes.txt" in caplog.text


def test_a_mark_needs_no_preparation(outbox: Outbox):
    outbox.mark(STUDY, "new")

    assert [uid for _, uid in outbox.marked("new")] == [STUDY]


def test_retention_spares_what_a_destination_has_not_heard(outbox: Outbox, spool: Spool, redis_server: RedisServer):
    spool.write_decision(STUDY, to_record(a_decision(STUDY, tagged_at=1.0)))
    item = put(outbox)
    act = {"act": "read", "at": 1.0, "who": "a", "through": "page", "revision": "c" * 64, "tag": "NORMAL"}
    (spool.study_folder(STUDY) / "reading.jsonl").write_text(json.dumps(act))
    os.utime(spool.study_folder(STUDY), (1.0, 1.0))
    with redis_server.client() as client:
        assert remove_old(spool, IndexedWorklist(client), AgeLimits(1e9, 1.0)) == (0, 1)
        outbox.delivered(item, "0x0000", 2.0)
        os.utime(spool.study_folder(STUDY), (1.0, 1.0))
        assert remove_old(spool, IndexedWorklist(client), AgeLimits(1e9, 1.0)) == (1, 0)
    assert spool.decision(STUDY) is None


def test_a_spool_of_an_earlier_release_gets_what_it_lacks(spool: Spool):
    for folder in ("marks", "outbox", "undeliverable"):
        (spool.root / folder).rmdir()

    outbox = Outbox(Spool.open(spool.root))
    outbox.prepare(["pacs"])
    assert outbox.waiting("pacs") == []
