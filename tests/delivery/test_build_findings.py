"""When a message about findings is built, held, or not built: nothing is told twice, and nothing is lowered."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.findings import CRITICAL_EFFUSION, a_score, scored
from tests.support.studies import a_radiograph, add_image, settle
from triage.channels.base import Channel
from triage.channels.hl7.channel import HL7Channel, Receiver
from triage.channels.hl7.message import Profile
from triage.channels.sr.channel import SRChannel
from triage.channels.ups.channel import UPSChannel
from triage.channels.webhook.channel import WebhookChannel
from triage.decision.findings import FindingScore
from triage.decision.records import assessment_from, to_record
from triage.decision.types import PriorityPolicy
from triage.decision.urgency import Urgency, UrgencyTable
from triage.delivery.build import Builder, BuildResult, build_if_changed
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryRecord
from triage.dicom.requestor import RemoteAE
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

STUDY = "1.2.3"
PEER = RemoteAE("127.0.0.1", 1, "PACS", "US", 1.0)
CHANNELS: dict[str, Channel] = {
    "sr": SRChannel(PEER),
    "ups": UPSChannel(PEER, "CXR triage"),
    "webhook": WebhookChannel("http://127.0.0.1:1/", b"secret", 1.0),
    "hl7": HL7Channel("hl7", Receiver("127.0.0.1", 1, 1.0), Profile()),
}
NOTHING = (a_score("effusion", 0.1), a_score("fracture", 0.1), a_score("nodule", 0.1))


def found(name: str) -> tuple[FindingScore, ...]:
    return tuple(a_score(each.name, 0.9 if each.name == name else 0.1) for each in NOTHING)


def judged(spool: Spool, *findings: FindingScore, policy: PriorityPolicy = CRITICAL_EFFUSION, **changes: Any) -> None:
    """The one image of the study, with these scores, and the study decided."""
    known = spool.assessments(STUDY)
    values = {**(scored(*findings) if findings else {}), **changes}
    if not known:
        add_image(spool, a_radiograph(STUDY), **values)
    else:
        assessment = replace(assessment_from(known[0]), **values)
        instance = ReceivedInstance(STUDY, assessment.sop_instance_uid, assessment.content_digest)
        spool.write_assessment(instance, to_record(assessment))
    settle(spool, STUDY, *CHANNELS, policy=policy)


def build(spool: Spool, name: str) -> BuildResult:
    """Build for the destination, and deliver what was built."""
    outbox = Outbox(spool)
    result = build_if_changed(Builder(spool, outbox, name, CHANNELS[name]), STUDY, 5.0)
    for item in outbox.waiting(name):
        outbox.delivered(item, "stored", 6.0)
    return result


def forget_urgencies(spool: Spool) -> None:
    """Leave the records of deliveries as the release before findings wrote them."""
    for path in (spool.study_folder(STUDY) / "deliveries").glob("*.json"):
        record = json.loads(path.read_text())
        record.pop("urgency", None)
        path.write_text(json.dumps(record))


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize(
    ("first", "later", "result"),
    [
        ("effusion", "fracture", BuildResult.HELD),  # critical, urgent
        ("effusion", "nodule", BuildResult.HELD),  # critical, nonurgent
        ("fracture", "nodule", BuildResult.HELD),  # urgent, nonurgent
        ("nodule", "none", BuildResult.HELD),  # nonurgent, normal
        ("fracture", "effusion", BuildResult.BUILT),
        ("nodule", "fracture", BuildResult.BUILT),
        ("none", "nodule", BuildResult.BUILT),
    ],
)
def test_an_urgency_that_was_delivered_is_raised_and_never_lowered(
    spool: Spool, name: str, first: str, later: str, result: BuildResult
) -> None:
    judged(spool, *found(first))
    assert build(spool, name) is BuildResult.BUILT
    judged(spool, *found(later))
    assert build(spool, name) is result
    assert build(spool, name) is (BuildResult.NOTHING if result is BuildResult.BUILT else result)


@pytest.mark.parametrize("name", CHANNELS)
def test_another_table_lowers_nothing_that_was_delivered(spool: Spool, name: str) -> None:
    judged(spool, *found("fracture"))
    build(spool, name)
    judged(spool, policy=PriorityPolicy(urgencies=UrgencyTable({"*": Urgency.NONURGENT})))
    assert build(spool, name) is BuildResult.HELD


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize(
    ("later", "result"),
    [("fracture", BuildResult.BUILT), ("nodule", BuildResult.HELD)],
)
def test_what_an_earlier_release_delivered_as_abnormal_counts_as_urgent(
    spool: Spool, name: str, later: str, result: BuildResult
) -> None:
    judged(spool, **{**scored(a_score("abnormal", 0.9)), "results": ()})
    build(spool, name)
    forget_urgencies(spool)
    judged(spool, *found(later))
    assert build(spool, name) is result


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("probability", [0.1, 0.9])
def test_a_study_of_one_finding_is_not_delivered_anew_because_findings_are_recorded(
    spool: Spool, name: str, probability: float
) -> None:
    findings = (a_score("abnormal", probability),)
    judged(spool, **{**scored(*findings), "results": ()})
    assert build(spool, name) is BuildResult.BUILT
    judged(spool, *findings)
    assert build(spool, name) is BuildResult.NOTHING


@pytest.mark.parametrize("name", CHANNELS)
def test_another_operating_point_alone_delivers_nothing_and_another_state_does(spool: Spool, name: str) -> None:
    judged(spool, *found("fracture"))
    build(spool, name)
    judged(spool, *(replace(each, threshold=0.4, point="site") for each in found("fracture")))
    assert build(spool, name) is BuildResult.NOTHING
    judged(spool, *(replace(each, positive=each.name != "nodule") for each in found("fracture")))
    assert build(spool, name) is BuildResult.BUILT


def test_a_record_of_what_the_tag_implies_can_be_read_by_the_release_before(spool: Spool) -> None:
    judged(spool, *found("fracture"))
    build(spool, "sr")
    judged(spool, *found("effusion"))
    build(spool, "sr")
    paths = sorted((spool.study_folder(STUDY) / "deliveries").glob("*.json"))
    first, second = (json.loads(path.read_text()) for path in paths)

    assert "urgency" not in first
    assert second["urgency"] == "critical"
    assert [DeliveryRecord.from_json(path.read_bytes()).told_urgency for path in paths] == [
        Urgency.URGENT,
        Urgency.CRITICAL,
    ]
