"""A dead letter that a person requeues at the worst moment: what the PACS has in the end, and what the records say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.decision.types import Tag
from triage.delivery.deliverer import Deliverer
from triage.delivery.record import DeliveryKey, DeliveryState


@dataclass(frozen=True)
class RequeuedResult:
    """A study of which NORMAL is a dead letter, and ABNORMAL is to be built."""

    deliverer: Deliverer
    study: str
    key: DeliveryKey

    def requeue(self) -> None:
        """Requeue it, as a person does."""
        self.deliverer.outbox.dead.requeue(self.key, self.deliverer.now() - 1.0)  # due before what is built now

    def requeue_elsewhere(self) -> threading.Thread:
        """Requeue it in another thread, which may have to wait for a lock."""
        thread = threading.Thread(target=self.requeue)
        thread.start()
        return thread


def a_requeued_result(deliverer: Deliverer) -> RequeuedResult:
    """The study, its dead letter and its newer decision."""
    spool: Any = deliverer.spool
    study = a_study(spool, "pacs", tag=Tag.NORMAL)
    deliverer.build()
    (item,) = deliverer.outbox.waiting("pacs")
    deliverer.outbox.dead.bury(item, "refused", deliverer.now())
    add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.91)
    settle(spool, study, "pacs")
    return RequeuedResult(deliverer, study, next(deliverer.outbox.dead.letters("pacs"))[0])


def deliver_all(deliverer: Deliverer, wait: Callable[[], None], rounds: int = 5) -> None:
    """Go round until nothing is due; ``wait`` sets the clock."""
    for _ in range(rounds):
        deliverer.round()
        wait()


def assert_the_newest_is_there(result: RequeuedResult, received: list[bytes]) -> None:
    """The last report is that of the decision, it is the one whose record is delivered, and nothing waits."""
    outbox = result.deliverer.outbox
    records = outbox.records(result.study)
    last = dcmread(DicomBytesIO(received[-1]), force=True)
    assert records[-1].state is DeliveryState.DELIVERED and records[-1].tag == "ABNORMAL"
    assert str(last.SOPInstanceUID) in records[-1].identity.values()
    assert outbox.waiting("pacs") == [] and outbox.marked("pacs") == [] and outbox.dead.count("pacs") == 0
    assert all(each.state not in (DeliveryState.WAITING, DeliveryState.DEAD) for each in records)
