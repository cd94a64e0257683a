"""Corrections: a person's act lowers what was raised, is told once, and in the words of each standard."""

from __future__ import annotations

import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.lost_objects import LostSpool
from tests.support.studies import a_radiograph, add_image, settle, store
from tests.support.told_studies import Told, told
from tests.support.ups_manager import ups_manager
from triage.channels.hl7.settings import HL7Destination
from triage.channels.sr.settings import SRDestination
from triage.channels.ups.settings import UPSDestination
from triage.channels.webhook.settings import WebhookDestination
from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from
from triage.decision.rejection_note import RejectionNote
from triage.decision.types import Tag
from triage.delivery.build import BuildResult
from triage.delivery.record import DeliveryState
from triage.dicom.dx_image import part10
from triage.dicom.part10 import data_set_in
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

RIS = HL7Destination(name="ris", host="127.0.0.1", port=1)
SENTENCE = "by A. Person on 2027-01-15 08:00 UTC: a bad model"


def segments(message: bytes, name: str) -> list[list[str]]:
    return [line.split("|") for line in message.decode().split("\r") if line.startswith(f"{name}|")]


def comments(dataset: Dataset) -> list[str]:
    found = []
    for item in dataset.get("ContentSequence", []):
        found += [str(item.TextValue)] if item.ValueType == "TEXT" else comments(item)
    return found


def test_nothing_is_lowered_without_an_act_and_an_act_lowers_once(spool: Spool) -> None:
    study = told(spool, RIS)
    study.find(Tag.NORMAL, 0.1)
    assert study.build() is BuildResult.HELD

    assert study.correct()
    corrected = study.deliver()
    assert corrected
    assert not study.correct(), "the same act is one act"
    assert study.deliver() == b""
    assert [each.state for each in study.records()] == [DeliveryState.DELIVERED] * 2
    assert [bool(each.correction) for each in study.records()] == [False, True]


def test_an_act_allows_no_more_than_the_person_saw(spool: Spool) -> None:
    study = told(spool, RIS)
    study.find(Tag.ABNORMAL, 0.7)
    study.correct()
    study.find(Tag.NORMAL, 0.1)
    assert study.build() is BuildResult.HELD
    study.correct()
    assert study.build() is BuildResult.BUILT


def test_what_is_raised_after_an_act_is_not_lowered_by_it(spool: Spool) -> None:
    study = told(spool, RIS, Tag.NORMAL)
    study.find(Tag.NOT_ASSESSED, reasons=(Reason.MODEL_DISABLED,))
    study.correct()
    assert study.deliver()
    study.find(Tag.ABNORMAL, 0.9)
    assert study.deliver()
    study.find(Tag.NORMAL, 0.1)
    assert study.build() is BuildResult.HELD


def test_a_waiting_correction_that_a_newer_result_replaces_is_not_lost(spool: Spool) -> None:
    study = told(spool, RIS)
    study.find(Tag.NOT_ASSESSED, reasons=(Reason.MODEL_DISABLED,))
    study.correct()
    assert study.build() is BuildResult.BUILT
    study.find(Tag.NORMAL, 0.2)
    assert study.deliver()
    assert [each.state for each in study.records()][-2:] == [DeliveryState.SUPERSEDED, DeliveryState.DELIVERED]
    assert study.records()[-1].correction


def test_what_was_never_sent_is_replaced_and_needs_no_correction(spool: Spool) -> None:
    study = told(spool, RIS, Tag.NORMAL)
    study.find(Tag.ABNORMAL, 0.9)
    assert study.build() is BuildResult.BUILT
    study.find(Tag.NOT_ASSESSED, reasons=(Reason.MODEL_DISABLED,))
    assert study.build() is BuildResult.HELD
    study.correct()
    assert {fields[11] for fields in segments(study.deliver(), "OBX")} == {"W"}
    assert [each.state for each in study.records()] == [
        DeliveryState.DELIVERED,
        DeliveryState.SUPERSEDED,
        DeliveryState.DELIVERED,
    ]


def test_a_crash_between_act_and_message_loses_neither(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    study = told(spool, RIS)
    study.find(Tag.NORMAL, 0.1)
    study.correct()
    with monkeypatch.context() as patch:
        patch.setattr(type(spool), "write", _killed)
        with pytest.raises(KeyboardInterrupt):
            study.build()
    again = Told(Spool.open(spool.root), study.name, study.channel, study.study)
    assert again.deliver()
    assert again.deliver() == b""


def _killed(spool: Spool, path: Path, content: bytes) -> None:
    raise KeyboardInterrupt


def test_hl7_says_corrected_for_each_value_and_takes_back_what_is_said_no_more(spool: Spool) -> None:
    study = told(spool, RIS)
    study.find(Tag.NOT_ASSESSED, reasons=(Reason.MODEL_DISABLED,))
    study.correct()
    wrong = study.deliver()
    assert {fields[11] for fields in segments(wrong, "OBX")} == {"W"}
    probability = next(fields for fields in segments(wrong, "OBX") if fields[3].startswith("probability"))
    assert probability[5] == "0.91"
    assert [fields[1] for fields in segments(wrong, "OBX")] == [str(n + 1) for n in range(len(segments(wrong, "OBX")))]
    assert any(SENTENCE in fields[3] for fields in segments(wrong, "NTE"))
    assert segments(wrong, "TQ1")[0][9].startswith("R^"), "the order's own priority again"
    assert segments(wrong, "OBR")[0][25] == "P"


def test_hl7_takes_back_what_the_new_result_says_no_more(spool: Spool) -> None:
    study = told(spool, RIS)
    study.find(Tag.NOT_ASSESSED, reasons=(Reason.MODEL_DISABLED,))
    study.correct()
    study.deliver()
    study.find(Tag.NOT_ASSESSED, reasons=(Reason.NO_MODEL, Reason.WORKER_FAILURE))
    assert {fields[11] for fields in segments(study.deliver(), "OBX")} == {"P"}
    study.find(Tag.NORMAL, 0.1, reasons=())
    study.correct(reason="scored again")
    corrected = segments(study.deliver(), "OBX")
    assert (corrected[0][5].split("^")[0], corrected[0][11]) == ("NORMAL", "C")
    taken_back = [(fields[3].split("^")[0], fields[4]) for fields in corrected if fields[11] == "W"]
    assert taken_back == [("reason", "1"), ("reason", "2")]


def test_an_order_that_was_raised_gets_its_own_priority_back(spool: Spool) -> None:
    study = told(spool, HL7Destination(name="ris", host="127.0.0.1", port=1, message="ORM^O01"))
    study.find(Tag.NORMAL, 0.1)
    assert study.build() is BuildResult.NOTHING
    study.correct()
    assert segments(study.deliver(), "ORC")[0][7] == "^^^^^R"
    study.find(Tag.ABNORMAL, 0.8)
    assert segments(study.deliver(), "ORC")[0][7] == "^^^^^A"


def test_a_report_supersedes_the_one_that_it_withdraws(spool: Spool) -> None:
    study = told(spool, SRDestination(name="pacs", host="127.0.0.1", port=1, called_ae_title="PACS", delay_s=0.0))
    earlier = study.records()[-1].identity["sop_instance_uid"]
    study.find(Tag.NORMAL, 0.1)
    study.correct()
    report = dcmread(BytesIO(study.deliver()))
    reference = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == earlier
    assert f"Report {earlier} is withdrawn." in comments(report)
    assert any(SENTENCE in each for each in comments(report))
    assert report.ContentDate == "20270115"


def test_a_webhook_says_that_it_is_a_correction(spool: Spool) -> None:
    secret = "0" * 32
    study = told(spool, WebhookDestination(name="hook", url="http://127.0.0.1:1/", secret=secret))
    study.find(Tag.NORMAL, 0.1)
    study.correct()
    event = json.loads(study.deliver())
    assert event["event"] == "correction"
    assert (event["correction"]["status"], event["correction"]["by"]) == ("corrected", "A. Person")
    assert event["replaces"] == study.records()[0].revision


def _sent(study: Told, port: int) -> list[str]:
    with study.channel.connect() as send:
        study.build()
        details = []
        for item in study.outbox.waiting(study.name):
            outcome = send(study.outbox.payload(item))
            study.outbox.delivered(item, outcome.detail, 1.0)
            details.append(outcome.detail)
        return details


def test_a_scheduled_workitem_is_changed_and_a_finished_one_is_left(spool: Spool) -> None:
    with ups_manager() as manager:
        destination = UPSDestination(name="ups", host="127.0.0.1", port=manager.port, called_ae_title="UPS")
        study = told(spool, destination)
        with study.channel.connect() as send:
            send(study.outbox.payload_sent(study.study, study.records()[0]))
        (uid,) = manager.workitems
        study.find(Tag.NORMAL, 0.1)
        study.correct()
        assert _sent(study, manager.port) == ["changed, 0x0000"]
        there = manager.workitems[uid]
        assert there.ScheduledProcedureStepPriority == "MEDIUM"
        assert SENTENCE in there.CommentsOnTheScheduledProcedureStep

        there.ProcedureStepState = "COMPLETED"
        study.find(Tag.NOT_ASSESSED, reasons=(Reason.MODEL_DISABLED,))
        study.correct(reason="again")
        (detail,) = _sent(study, manager.port)
        assert "was not sent" in detail
        assert len(manager.workitems) == 1


def test_a_workitem_whose_images_are_all_wrong_is_canceled(spool: Spool) -> None:
    with ups_manager() as manager:
        destination = UPSDestination(name="ups", host="127.0.0.1", port=manager.port, called_ae_title="UPS")
        study = told(spool, destination)
        with study.channel.connect() as send:
            send(study.outbox.payload_sent(study.study, study.records()[0]))
        reject(study, vouched_for=True)
        assert _sent(study, manager.port) == ["canceled, 0x0000"]
        (there,) = manager.workitems.values()
        assert there.ProcedureStepState == "CANCELED"
        assert "Incorrect Modality Worklist Entry" in there.ReasonForCancellation


@pytest.mark.parametrize(("vouched_for", "result"), [(True, BuildResult.BUILT), (False, BuildResult.HELD)])
def test_only_a_note_of_a_named_sender_corrects_on_its_own(
    spool: Spool, vouched_for: bool, result: BuildResult
) -> None:
    study = told(spool, RIS)
    reject(study, vouched_for=vouched_for)
    assert study.build() is result
    if vouched_for:
        message = study.deliver()
        assert {fields[11] for fields in segments(message, "OBX")} == {"W"}
        assert any("Incorrect Modality Worklist Entry (113038 DCM)" in each[3] for each in segments(message, "NTE"))
        assert study.deliver() == b""


def test_what_was_said_of_a_wrong_patient_is_taken_back_there_and_the_right_one_is_told(spool: Spool) -> None:
    study = told(spool, RIS)
    right = a_radiograph(study.study, PatientID="P-2", PatientName="ROE^RICHARD")
    add_image(spool, right, tag=Tag.NORMAL, probability=0.1, patient=PatientMarks())  # of a release without marks
    settle(spool, study.study, "ris")
    assert study.deliver() == b""
    reject(study, vouched_for=True)

    assert study.build() is BuildResult.WITHDRAWN
    assert study.build() is BuildResult.LATER
    back = study.deliver()
    assert segments(back, "PID")[0][3] == "P-1"
    assert {fields[11] for fields in segments(back, "OBX")} == {"W"}
    assert segments(back, "OBX")[0][5].startswith("ABNORMAL^")
    assert study.outbox.to_be_told(study.study) == ("ris",)

    result = study.deliver()
    assert segments(result, "PID")[0][3] == "P-2"
    assert {fields[11] for fields in segments(result, "OBX")} == {"P"}
    assert segments(result, "OBX")[0][5].startswith("NORMAL^")
    assert study.deliver() == b""
    assert study.outbox.to_be_told(study.study) == ()


def test_what_takes_back_what_was_said_of_a_wrong_patient_stays_while_a_later_result_waits_for_images(
    spool: Spool,
) -> None:
    lost = LostSpool.open(spool.root)
    study = told(lost, RIS)
    right = a_radiograph(study.study, PatientID="P-2", PatientName="ROE^RICHARD")
    add_image(lost, right, tag=Tag.NORMAL, probability=0.1, patient=PatientMarks())
    reject(study, vouched_for=True)
    settle(lost, study.study, "ris")
    assert study.build() is BuildResult.WITHDRAWN

    late = a_radiograph(study.study, PatientID="P-2", PatientName="ROE^RICHARD")
    add_image(lost, late, tag=Tag.ABNORMAL, probability=0.9, patient=PatientMarks())
    settle(lost, study.study, "ris")
    lost.lost_images = frozenset({str(late.SOPInstanceUID)})
    assert study.build() is BuildResult.UNREAD
    back = study.deliver()
    assert segments(back, "PID")[0][3] == "P-1" and {fields[11] for fields in segments(back, "OBX")} == {"W"}
    lost.lost_images = frozenset()
    assert segments(study.deliver(), "PID")[0][3] == "P-2"


def reject(study: Told, *, vouched_for: bool) -> None:
    """A note comes that says that the study's image is of another patient's order."""
    images = [assessment_from(each) for each in study.spool.assessments(study.study)]
    image = next(each for each in images if each.tag is Tag.ABNORMAL)
    content = part10(a_radiograph(study.study, SOPInstanceUID="1.2.9"))
    instance = ReceivedInstance(study.study, "1.2.9", sha256(data_set_in(content)).hexdigest())
    store(
        study.spool,
        instance,
        content,
        tag=Tag.NOT_ASSESSED,
        reasons=(Reason.REJECTION_NOTE,),
        probability=None,
        model_id=None,
        patient=image.patient,
        received_at=1_800_000_000.0,
        rejection=RejectionNote("113038", (image.sop_instance_uid,), vouched_for=vouched_for),
    )
    settle(study.spool, study.study, study.name)
