"""A message is not built while the store gives no objects: it would name no patient."""

from __future__ import annotations

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.delivery.test_deliverer import Clock, a_deliverer, sent
from tests.support.lost_objects import LostSpool
from tests.support.receivers import store_scp
from tests.support.studies import a_study
from triage.spool.spool import Spool


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
        assert deliverer.metrics.oldest.labels("pacs")._value.get() > 0  # an alert rests on it
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
