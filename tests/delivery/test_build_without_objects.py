"""A message is not built while its objects cannot be read: it would name no patient."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.delivery.test_deliverer import Clock, a_deliverer, sent, states
from tests.support.lost_objects import LostSpool
from tests.support.receivers import store_scp
from tests.support.studies import a_study
from triage.delivery.deliverer import Deliverer
from triage.delivery.record import DeliveryRecord, DeliveryState
from triage.delivery.unread import UnreadNotes
from triage.spool.spool import Spool
from triage.spool.study import GIVEN_UP_AFTER_S


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


def _patients(scp: Any) -> list[str]:
    """The Patient IDs in what was received."""
    return [str(dcmread(DicomBytesIO(each), force=True).PatientID) for each in scp.received]


def test_an_object_that_cannot_be_read_for_a_moment_holds_its_own_message_up_and_no_other(spool: Spool):
    lost, clock = LostSpool.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        study, other = a_study(lost, "pacs"), a_study(lost, "pacs", attributes={"PatientID": "P-2"})
        lost.lost_studies = frozenset({study})
        for _ in range(3):
            deliverer.round()
            clock.at += 200.0
        assert _patients(scp) == ["P-2"] and states(deliverer, study) == []
        assert lost.decision(other) is not None and deliverer.outbox.to_be_told(study) == ("pacs",)
        lost.lost_studies = frozenset()
        deliverer.round()
    assert _patients(scp) == ["P-2", "P-1"] and states(deliverer, study) == [DeliveryState.DELIVERED]
    assert not deliverer.outbox.records(study)[0].lacks_images
    assert UnreadNotes(lost, "pacs").studies() == []


def test_what_could_not_be_read_comes_last_and_not_each_round(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    lost, clock, tried = LostSpool.open(spool.root), Clock(), list[str]()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        study = a_study(lost, "pacs")
        lost.lost_studies = frozenset({study})
        build = Deliverer._build
        monkeypatch.setattr(Deliverer, "_build", lambda self, uid: (tried.append(uid), build(self, uid))[1])
        deliverer.round()
        second = a_study(lost, "pacs")
        deliverer.round()
        clock.at += 60.0
        third = a_study(lost, "pacs")
        deliverer.round()
    assert tried == [study, second, third, study]


def test_after_a_quarter_of_an_hour_it_goes_out_without_its_patient_and_again_with_it(spool: Spool):
    lost, clock = LostSpool.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        study = a_study(lost, "pacs")
        lost.lost_studies = frozenset({study})
        deliverer.round()
        clock.at += GIVEN_UP_AFTER_S - 1.0
        deliverer = a_deliverer(lost, scp.port, clock)  # of another leader, after a restart
        deliverer.round()
        assert not scp.received
        clock.at += 60.0
        for _ in range(3):
            deliverer.round()
            clock.at += 60.0
        assert _patients(scp) == [""]
        (record,) = deliverer.outbox.records(study)
        assert record.lacks_images and DeliveryRecord.from_json(record.to_json().encode()).lacks_images
        assert deliverer.outbox.to_be_told(study) == ()

        lost.lost_studies = frozenset()
        for _ in range(3):
            deliverer.round()
            clock.at += 60.0
    assert _patients(scp) == ["", "P-1"]
    assert [each.lacks_images for each in deliverer.outbox.records(study)] == [True, False]
    assert len({each.revision for each in deliverer.outbox.records(study)}) == 2
    assert UnreadNotes(lost, "pacs").studies() == []


def test_an_object_that_stays_lost_has_one_message_and_keeps_no_other_from_being_sent_again(spool: Spool):
    lost, clock = LostSpool.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        studies = sorted(a_study(lost, "pacs") for _ in range(3))
        lost.lost_studies = frozenset(studies)
        deliverer.round()
        clock.at += GIVEN_UP_AFTER_S + 1.0
        for _ in range(3):
            deliverer.round()
            clock.at += 60.0
        assert _patients(scp) == ["", "", ""]
        lost.lost_studies = frozenset(studies[:1])
        for _ in range(6):
            deliverer.round()
            clock.at += 60.0
    assert _patients(scp) == ["", "", "", "P-1", "P-1"]
    assert UnreadNotes(lost, "pacs").studies() == studies[:1]


def test_a_study_that_retention_removed_is_forgotten(spool: Spool):
    lost, clock = LostSpool.open(spool.root), Clock()
    with store_scp() as scp:
        deliverer = a_deliverer(lost, scp.port, clock)
        study = a_study(lost, "pacs")
        UnreadNotes(lost, "pacs").told_without(study)
        lost.entries("marks", "pacs").remove(study)
        with lost.study_lock(study):
            lost.remove_study(study)
        deliverer.round()
    assert UnreadNotes(lost, "pacs").studies() == [] and deliverer.outbox.marked("pacs") == []
