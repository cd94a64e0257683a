"""A message is not built while the store gives no objects: it would name no patient."""

from __future__ import annotations

import errno
from typing import Any, BinaryIO

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.delivery.test_deliverer import Clock, a_deliverer, sent
from tests.support.receivers import store_scp
from tests.support.studies import a_study
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool


class _Unread:
    """A stored object whose bytes cannot be had."""

    def __init__(self, stored: Any) -> None:
        self._stored = stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stored, name)

    def open(self, mode: str = "rb") -> BinaryIO:
        raise OSError(errno.ETIMEDOUT, "the bucket does not answer")


class LostSpool(Spool):
    """Facts are there. Objects are not while ``lost``; ``away``: none of all objects is."""

    lost = away = False

    def stored_object(self, instance: ReceivedInstance) -> Any:
        stored = super().stored_object(instance)
        return _Unread(stored) if self.lost else stored

    def gives_objects(self) -> bool:
        return not self.away


def _patient(spool: Spool, study: str) -> str:
    """The Patient ID in what was sent."""
    return str(dcmread(DicomBytesIO(sent(spool, study)), force=True).PatientID)


def test_while_no_object_can_be_had_the_message_waits_and_then_names_its_patient(spool: Spool):
    lost = LostSpool.open(spool.root)
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, Clock())
        study = a_study(lost, "pacs")
        lost.lost = lost.away = True
        for _ in range(2):
            with pytest.raises(OSError, match="does not answer"):
                deliverer.round()
        assert not scp.received and len(list(deliverer.outbox.marked("pacs"))) == 1
        lost.lost = lost.away = False
        deliverer.round()
    assert len(scp.received) == 1 and _patient(lost, study)


def test_one_object_that_cannot_be_read_for_good_holds_nothing_up(spool: Spool):
    lost = LostSpool.open(spool.root)
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, Clock())
        study = a_study(lost, "pacs")
        lost.lost = True
        deliverer.round()
    assert len(scp.received) == 1 and not _patient(lost, study)
