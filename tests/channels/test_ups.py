"""Workitems for a UPS manager, over real associations: created, changed, recorded, replaced, refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.delivery.test_deliverer import Clock
from tests.support.findings import CRITICAL_EFFUSION, a_score, scored
from tests.support.lost_objects import LostSpool
from tests.support.receivers import silent_port
from tests.support.studies import a_radiograph, a_study, add_image, settle
from tests.support.ups_manager import PULL, PUSH, Manager, ups_manager
from triage.channels.registry import channel_of
from triage.channels.ups.correction import CANCELLATION
from triage.channels.ups.settings import UPSDestination
from triage.decision.types import PriorityPolicy, Tag
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.metrics.delivery import DeliveryMetrics
from triage.spool.spool import Spool
from triage.spool.study import GIVEN_UP_AFTER_S

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# Types for the SCU of N-CREATE in PS3.4 Table CC.2.5-3 and its macros CC.2.5-2a, 2c and 2e.
TYPE_1 = (
    "ScheduledProcedureStepPriority",
    "ProcedureStepLabel",
    "WorklistLabel",
    "ScheduledProcedureStepStartDateTime",
    "InputReadinessState",
    "ProcedureStepState",
)
TYPE_2 = (
    "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "ScheduledWorkitemCodeSequence",
    "CommentsOnTheScheduledProcedureStep",
    "InputInformationSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ReferencedRequestSequence",
)
EMPTY = (
    "TransactionUID",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
NOT_ALLOWED = ("SOPClassUID", "SOPInstanceUID", "ScheduledProcedureStepModificationDateTime")
REQUEST_TYPE_2 = (
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "OrderPlacerIdentifierSequence",
    "OrderFillerIdentifierSequence",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
)
INPUT_TYPE_1 = ("TypeOfInstances", "StudyInstanceUID", "SeriesInstanceUID", "ReferencedSOPSequence")
CODE_TYPE_1 = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


def a_deliverer(spool: Spool, port: int, **settings: Any) -> Deliverer:
    values = {"name": "ups", "host": "127.0.0.1", "port": port, "called_ae_title": "MANAGER", "timeout_s": 5.0}
    destination = UPSDestination(**{**values, **settings})
    outbox = Outbox(spool)
    outbox.prepare([destination.name])
    metrics = DeliveryMetrics(CollectorRegistry())
    return Deliverer(spool, outbox, destination, channel_of(destination), metrics, now=Clock())


def states(deliverer: Deliverer, study: str) -> list[DeliveryState]:
    return [each.state for each in deliverer.outbox.records(study)]


def said(deliverer: Deliverer, study: str) -> str:
    return str(deliverer.outbox.records(study)[-1].tries[-1]["detail"])


def only(manager: Manager) -> Dataset:
    (workitem,) = manager.workitems.values()
    return workitem


def raise_it(spool: Spool, study: str) -> None:
    """A late image that is abnormal."""
    add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
    settle(spool, study, "ups")


def test_a_workitem_has_what_the_standard_asks(spool: Spool):
    study = a_study(spool, "ups", attributes={"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Eva"})
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port, retrieve_ae_title="ARCHIVE")
        deliverer.round()
        deliverer.round()

    assert (states(deliverer, study), manager.asked, manager.contexts) == (
        [DeliveryState.DELIVERED],
        ["create"],
        [PUSH],
    )
    workitem = only(manager)
    assert [keyword for keyword in TYPE_1 if not workitem.get(keyword)] == []
    assert [keyword for keyword in (*TYPE_2, *EMPTY) if keyword not in workitem] == []
    assert [keyword for keyword in EMPTY if workitem.get(keyword)] == []
    assert [keyword for keyword in NOT_ALLOWED if keyword in workitem] == []
    assert (workitem.ScheduledProcedureStepPriority, workitem.ProcedureStepState) == ("HIGH", "SCHEDULED")
    assert workitem.PatientName == "Müller^Eva"
    (code,) = workitem.ScheduledWorkitemCodeSequence
    assert [keyword for keyword in CODE_TYPE_1 if not code.get(keyword)] == []
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("110005", "DCM")
    (request,) = workitem.ReferencedRequestSequence
    assert (request.StudyInstanceUID, request.AccessionNumber) == (study, "ACC-1")
    assert [keyword for keyword in REQUEST_TYPE_2 if keyword not in request] == []
    assert [
        element.keyword for element in request if element.keyword not in (*REQUEST_TYPE_2, "StudyInstanceUID")
    ] == []
    (series,) = workitem.InputInformationSequence
    assert [keyword for keyword in INPUT_TYPE_1 if not series.get(keyword)] == []
    assert (series.StudyInstanceUID, series.DICOMRetrievalSequence[0].RetrieveAETitle) == (study, "ARCHIVE")
    stored = spool.assessments(study)[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == stored["sop_instance_uid"]


def test_what_the_images_say_of_the_order_and_the_patient_is_in_the_workitem(spool: Spool):
    a_study(
        spool,
        "ups",
        attributes={"PlacerOrderNumberImagingServiceRequest": "P-7", "IssuerOfPatientID": "HOSPITAL"},
    )
    with ups_manager() as manager:
        a_deliverer(spool, manager.port).round()

    (request,) = only(manager).ReferencedRequestSequence
    assert request.PlacerOrderNumberImagingServiceRequest == "P-7"
    assert "FillerOrderNumberImagingServiceRequest" not in request
    assert only(manager).IssuerOfPatientID == "HOSPITAL"


@pytest.mark.parametrize(("low", "priority"), [(False, "MEDIUM"), (True, "LOW")])
def test_low_is_said_only_where_it_is_switched_on(spool: Spool, low: bool, priority: str):
    study = a_study(spool, tag=Tag.NORMAL)
    settle(spool, study, "ups", policy=PriorityPolicy(lower_normal=True))
    with ups_manager() as manager:
        a_deliverer(spool, manager.port, low=low).round()

    assert only(manager).ScheduledProcedureStepPriority == priority


def test_priors_make_no_workitem(spool: Spool):
    study = a_study(spool, "ups", attributes={"AcquisitionDate": "20150101"})
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()

    assert (states(deliverer, study), manager.asked) == ([], [])


def test_a_raise_changes_the_workitem_that_waits(spool: Spool):
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        assert only(manager).ScheduledProcedureStepPriority == "MEDIUM"
        raise_it(spool, study)
        deliverer.round()

    assert (manager.asked, manager.contexts) == (["create", "set"], [PUSH, PULL])
    workitem = only(manager)
    assert workitem.ScheduledProcedureStepPriority == "HIGH"
    assert sum(len(series.ReferencedSOPSequence) for series in workitem.InputInformationSequence) == 2
    assert states(deliverer, study) == [DeliveryState.DELIVERED, DeliveryState.DELIVERED]


def test_a_raise_of_what_is_being_read_is_recorded_and_changes_nothing(spool: Spool):
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        only(manager).ProcedureStepState = "IN PROGRESS"
        raise_it(spool, study)
        deliverer.round()

    assert only(manager).ScheduledProcedureStepPriority == "MEDIUM"
    assert states(deliverer, study) == [DeliveryState.DELIVERED, DeliveryState.DELIVERED]
    assert "in progress" in said(deliverer, study)
    assert deliverer.metrics.warnings.labels("ups")._value.get() == 1


@pytest.mark.parametrize("final", ["COMPLETED", "CANCELED"])
def test_a_raise_of_what_is_finished_is_a_new_workitem(spool: Spool, final: str):
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        (first,) = manager.workitems
        manager.workitems[first].ProcedureStepState = final
        raise_it(spool, study)
        deliverer.round()
        add_image(spool, a_radiograph(study), tag=Tag.NORMAL)  # and the next change finds the new one
        settle(spool, study, "ups")
        deliverer.round()

    assert manager.asked == ["create", "set", "create", "set"]
    second = next(uid for uid in manager.workitems if uid != first)
    assert manager.workitems[second].ScheduledProcedureStepPriority == "HIGH"
    assert len(manager.workitems) == 2
    assert manager.workitems[first].ScheduledProcedureStepPriority == "MEDIUM"
    replaced = manager.workitems[second].ReplacedProcedureStepSequence
    assert [item.ReferencedSOPInstanceUID for item in replaced] == [first]


def test_after_a_change_the_next_one_finds_the_first_workitem(spool: Spool):
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port)
        for _ in range(3):
            deliverer.round()
            raise_it(spool, study)
        deliverer.round()

    assert manager.asked.count("create") == 1
    assert len(only(manager).InputInformationSequence) == 4


def test_an_answer_that_is_lost_makes_no_second_workitem(spool: Spool):
    study = a_study(spool, "ups")
    with ups_manager(abort=True) as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.WAITING]
        manager.abort = False
        deliverer.now.at += 3600  # type: ignore[attr-defined]
        deliverer.round()

    assert manager.asked == ["create", "create", "get"]
    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert said(deliverer, study) == "it has the workitem already, the same, 0x0111"


def test_a_duplicate_that_differs_is_delivered_and_said(spool: Spool):
    study = a_study(spool, "ups")
    with ups_manager(abort=True) as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        manager.abort = False
        only(manager).ScheduledProcedureStepPriority = "LOW"
        deliverer.now.at += 3600  # type: ignore[attr-defined]
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert "another ScheduledProcedureStepPriority" in said(deliverer, study)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0x0106, DeliveryState.DEAD),
        (0xC309, DeliveryState.DEAD),
        (0x0122, DeliveryState.DEAD),
        (0x0110, DeliveryState.WAITING),
        (0xB300, DeliveryState.DELIVERED),
        (0xB3FF, DeliveryState.DELIVERED),
        (0x0116, DeliveryState.DELIVERED),
    ],
)
def test_what_a_status_means(spool: Spool, status: int, state: DeliveryState):
    study = a_study(spool, "ups")
    with ups_manager(create_status=status) as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()

    assert states(deliverer, study) == [state]
    assert f"0x{status:04X}" in said(deliverer, study)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0xC310, DeliveryState.DEAD),
        (0xC314, DeliveryState.DEAD),
        (0xB305, DeliveryState.DELIVERED),
        (0x0001, DeliveryState.DELIVERED),
    ],
)
def test_what_a_status_of_a_change_means(spool: Spool, status: int, state: DeliveryState):
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager(set_status=status) as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        raise_it(spool, study)
        deliverer.round()

    assert (manager.asked, states(deliverer, study)) == (["create", "set"], [DeliveryState.DELIVERED, state])
    assert f"0x{status:04X}" in said(deliverer, study)


def test_a_change_tells_the_manager_that_the_input_is_ready(spool: Spool):
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        only(manager).InputReadinessState = "INCOMPLETE"  # as someone may have said meanwhile
        raise_it(spool, study)
        deliverer.round()

    assert only(manager).InputReadinessState == "READY"


def test_a_manager_without_the_pull_class_gets_no_raise_and_that_is_visible(spool: Spool):
    study = a_study(spool, "ups", tag=Tag.NORMAL)
    with ups_manager([PUSH]) as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        raise_it(spool, study)
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED, DeliveryState.DEAD]
    assert "takes no Unified Procedure Step - Pull" in said(deliverer, study)


def test_a_manager_that_takes_nothing_of_ours(spool: Spool):
    study = a_study(spool, "ups")
    with ups_manager([]) as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DEAD]


def test_a_silent_manager_is_left_alone_and_everything_is_kept(spool: Spool):
    study = a_study(spool, "ups")
    with silent_port() as port:
        deliverer = a_deliverer(spool, port, timeout_s=1.0)
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.WAITING]
    assert deliverer.outbox.pause("ups")[0] == 1


def test_trying_a_manager_says_what_it_takes():
    with ups_manager([PUSH]) as manager:
        values = {"name": "ups", "host": "127.0.0.1", "port": manager.port, "called_ae_title": "MANAGER"}
        lines = channel_of(UPSDestination(**values)).check()

    assert any("Push" in line and "accepted" in line for line in lines)
    assert any("Pull" in line and "REJECTED" in line for line in lines)
    assert manager.asked == []


def test_the_bytes_in_the_outbox_are_a_dicom_file(spool: Spool):
    study = a_study(spool, "ups")
    deliverer = a_deliverer(spool, 1)
    deliverer.build()
    (item,) = deliverer.outbox.waiting("ups")

    dataset = dcmread(BytesIO(deliverer.outbox.payload(item)))

    assert (dataset.SOPClassUID, dataset.StudyInstanceUID) == (PUSH, study)
    assert dataset.SOPInstanceUID == deliverer.outbox.records(study)[0].identity["workitems"]


def test_the_class_and_the_findings_are_in_the_comments_and_a_raise_to_critical_changes_them(spool: Spool):
    findings = (a_score("fracture", 0.9), a_score("effusion", 0.1))
    add_image(spool, a_radiograph("1.2.3"), **scored(*findings))
    settle(spool, "1.2.3", "ups", policy=CRITICAL_EFFUSION)
    with ups_manager() as manager:
        deliverer = a_deliverer(spool, manager.port)
        deliverer.round()
        first = str(only(manager).CommentsOnTheScheduledProcedureStep)
        add_image(spool, a_radiograph("1.2.3"), **scored(findings[0], a_score("effusion", 0.9)))
        settle(spool, "1.2.3", "ups", policy=CRITICAL_EFFUSION)
        deliverer.round()
        changed = only(manager)

    assert first == (
        "AI triage, unverified, of the frontal images. Triage: abnormal. Urgency of findings: urgent. "
        "Looked for: Fracture (present), Effusion (absent). Nothing else was looked for."
    )
    assert manager.asked == ["create", "set"]
    assert changed.ScheduledProcedureStepPriority == "HIGH"
    assert "Urgency of findings: critical." in changed.CommentsOnTheScheduledProcedureStep
    assert changed.ProcedureStepLabel == "Chest radiograph interpretation"


@pytest.mark.parametrize(("order", "priority"), [("", "MEDIUM"), ("STAT", "HIGH"), ("LOW", "LOW")])
def test_a_nonurgent_study_has_the_order_s_priority(spool: Spool, order: str, priority: str):
    add_image(spool, a_radiograph("1.2.3"), **scored(a_score("nodule", 0.9)), order_priority=order)
    settle(spool, "1.2.3", "ups", policy=CRITICAL_EFFUSION)
    with ups_manager() as manager:
        a_deliverer(spool, manager.port, low=True).round()

    assert only(manager).ScheduledProcedureStepPriority == priority


# A workitem whose images could not be read, so that it names no patient.


def told_without_its_patient(spool: Spool, port: int, tag: Tag = Tag.ABNORMAL) -> tuple[LostSpool, Deliverer, str]:
    """A study whose images could not be read for a quarter of an hour; its workitem is at the manager."""
    lost = LostSpool.open(spool.root)
    study = a_study(lost, "ups", tag=tag)
    lost.lost_studies = frozenset({study})
    deliverer = a_deliverer(lost, port)
    assert isinstance(deliverer.now, Clock)
    deliverer.round()
    deliverer.now.at += GIVEN_UP_AFTER_S + 1.0
    deliverer.round()
    return lost, deliverer, study


def can_be_read(lost: LostSpool, deliverer: Deliverer) -> None:
    lost.lost_studies = frozenset()
    assert isinstance(deliverer.now, Clock)
    deliverer.now.at += 61.0
    deliverer.round()  # looks
    deliverer.round()


def test_a_workitem_without_its_patient_is_canceled_and_made_anew_with_it(spool: Spool):
    """The patient of one that is there cannot be set (PS3.4 Table CC.2.5-3)."""
    with ups_manager() as manager:
        lost, deliverer, study = told_without_its_patient(spool, manager.port)
        assert [each.PatientID for each in manager.workitems.values()] == [""]
        can_be_read(lost, deliverer)
        first, second = manager.workitems.values()
        assert (first.ProcedureStepState, first.PatientID) == ("CANCELED", "")
        assert (second.ProcedureStepState, second.PatientID, second.PatientName) == ("SCHEDULED", "P-1", "DOE^JANE")
        assert not any(keyword in second for keyword in CANCELLATION)
        raise_it(lost, study)
        deliverer.round()
    assert manager.asked == ["create", "cancel", "create", "set"]
    assert states(deliverer, study) == [DeliveryState.DELIVERED] * 3
    assert len(second.InputInformationSequence) == 2  # the change reached the one that names the patient


@pytest.mark.parametrize("state", ["IN PROGRESS", "COMPLETED"])
def test_a_workitem_without_its_patient_that_a_reader_has_is_not_made_anew(spool: Spool, state: str):
    with ups_manager() as manager:
        lost, deliverer, study = told_without_its_patient(spool, manager.port)
        only(manager).ProcedureStepState = state
        can_be_read(lost, deliverer)
        assert only(manager).ProcedureStepState == state
    assert states(deliverer, study) == [DeliveryState.DELIVERED] * 2 and "cannot be canceled" in said(deliverer, study)


def test_a_renewal_whose_answer_is_lost_makes_one_workitem(spool: Spool):
    with ups_manager() as manager:
        lost, deliverer, study = told_without_its_patient(spool, manager.port)
        manager.abort, manager.keep = True, False
        can_be_read(lost, deliverer)
        manager.abort, manager.keep = False, True
        assert isinstance(deliverer.now, Clock)
        deliverer.now.at += 60.0
        deliverer.round()
        assert [each.ProcedureStepState for each in manager.workitems.values()] == ["CANCELED", "SCHEDULED"]
    assert states(deliverer, study) == [DeliveryState.DELIVERED] * 2


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELED"])
def test_a_raise_of_what_is_finished_and_named_no_patient_is_a_new_workitem(spool: Spool, state: str):
    with ups_manager() as manager:
        lost, deliverer, study = told_without_its_patient(spool, manager.port, tag=Tag.NORMAL)
        first = only(manager)
        first.ProcedureStepState = state
        lost.lost_studies = frozenset()
        raise_it(lost, study)
        deliverer.round()
        (second,) = (each for each in manager.workitems.values() if each is not first)
    assert (second.ProcedureStepState, second.PatientID) == ("SCHEDULED", "P-1")
    assert second.ScheduledProcedureStepPriority == "HIGH" and first.ProcedureStepState == state


def test_a_raise_of_what_named_no_patient_reaches_a_manager_that_cancels_nothing(spool: Spool):
    with ups_manager(cancel_status=0x0211) as manager:
        lost, deliverer, study = told_without_its_patient(spool, manager.port, tag=Tag.NORMAL)
        lost.lost_studies = frozenset()
        raise_it(lost, study)
        deliverer.round()
        assert only(manager).ScheduledProcedureStepPriority == "HIGH"
    assert states(deliverer, study) == [DeliveryState.DELIVERED] * 2 and "cannot be canceled" in said(deliverer, study)


def test_the_last_workitem_without_a_patient_is_made_anew_whatever_became_of_those_before_it(spool: Spool):
    """The second was made as the first was read; both name no patient."""
    with ups_manager() as manager:
        lost, deliverer, study = told_without_its_patient(spool, manager.port, tag=Tag.NORMAL)
        only(manager).ProcedureStepState = "COMPLETED"
        raise_it(lost, study)
        deliverer.round()
        assert [each.ProcedureStepState for each in manager.workitems.values()] == ["COMPLETED", "SCHEDULED"]
        can_be_read(lost, deliverer)
        found = [(each.ProcedureStepState, each.PatientID) for each in manager.workitems.values()]
    assert found == [("COMPLETED", ""), ("CANCELED", ""), ("SCHEDULED", "P-1")]
