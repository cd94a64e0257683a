"""What is noted before a message leaves: a store that reads and does not write sends nothing again and again."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.delivery.test_deliverer import Clock, a_deliverer, attempts, sent, states
from tests.support.receivers import store_scp
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.base import DeliveryStatus
from triage.decision.types import Tag
from triage.delivery.record import BEGUN, DeliveryState
from triage.errors import UnreachableError
from triage.spool.spool import Spool

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class FullSpool(Spool):
    """No file can be written from when the disk is full; what is there can be read and removed."""

    full = False

    def _rename(self, source: Path, target: Path, *, durable: bool = True) -> None:
        if self.full and source.parent == self.incoming:
            raise OSError(errno.ENOSPC, "no space left on the disk")
        super()._rename(source, target, durable=durable)


@pytest.mark.parametrize("fills", ["before it is sent", "while it is sent"])
def test_on_a_full_disk_a_message_is_sent_once_at_most(spool: Spool, fills: str):
    full, clock = FullSpool.open(spool.root), Clock()

    def fill(_: object) -> None:
        full.full = True

    with store_scp(before_answer=fill) as scp:
        deliverer = a_deliverer(full, scp.port, clock)
        study = a_study(full, "pacs")
        deliverer.build()
        full.full = fills == "before it is sent"
        for _ in range(4):
            with pytest.raises(OSError, match="no space"):
                deliverer.round()
            clock.at += 60.0
        times = len(scp.received)
        scp.before_answer = lambda event: None
        full.full = False
        deliverer.round()

    assert times == (fills == "while it is sent")
    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert len(scp.received) == times + 1 and len(set(scp.received)) == 1


def test_the_beginning_is_noted_while_it_is_sent_and_its_end_takes_its_place(spool: Spool):
    seen = list[list[str]]()

    def look(_: object) -> None:
        seen.append(outcomes())

    def outcomes() -> list[str]:
        return [each["outcome"] for each in deliverer.outbox.records(study)[0].tries]

    clock = Clock()
    with store_scp(0xA700, 0x0000, before_answer=look) as scp:
        deliverer = a_deliverer(spool, scp.port, clock)
        study = a_study(spool, "pacs")
        deliverer.round()
        assert outcomes() == [DeliveryStatus.RETRY]
        clock.at += 60.0
        deliverer.round()

    assert seen == [[BEGUN], [DeliveryStatus.RETRY, BEGUN]]
    assert outcomes() == [DeliveryStatus.RETRY, DeliveryState.DELIVERED]


def test_what_a_crash_ended_while_it_was_sent_may_be_there_and_is_followed_not_replaced(spool: Spool):
    class Crash(BaseException):
        pass

    def crash(*_: Any) -> None:
        raise Crash

    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = a_study(spool, "pacs", tag=Tag.NORMAL)
        with pytest.MonkeyPatch.context() as dying, pytest.raises(Crash):
            dying.setattr("triage.delivery.sender.Sender._settle", crash)
            deliverer.round()
        assert len(scp.received) == 1
        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.91)
        settle(spool, study, "pacs")
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED, DeliveryState.DELIVERED]
    assert scp.received[0] == scp.received[1] and len(scp.received) == 3
    assert "PredecessorDocumentsSequence" in dcmread(DicomBytesIO(sent(spool, study, 2)))


def test_a_receiver_that_is_gone_when_the_message_would_leave_has_no_attempt(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
):
    def gone(*_: Any) -> None:
        raise UnreachableError("the connection is closed")

    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = a_study(spool, "pacs")
        with monkeypatch.context() as cut:
            cut.setattr("triage.delivery.sender.Sender._sent", gone)
            deliverer.round()
        assert attempts(deliverer, "unreachable") == 1
        assert deliverer.outbox.records(study)[0].tries == ()
