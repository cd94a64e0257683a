"""Who issued a Patient ID and an accession number goes out with them; of two patients, it is the raised one's."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.studies import a_radiograph, add_image, settle
from triage.channels.hl7.message import Profile, message
from triage.channels.sr.channel import report
from triage.channels.ups.channel import UPSChannel
from triage.channels.webhook.channel import WebhookChannel
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.dicom.identity import accession_issuer, patient_marks
from triage.dicom.requestor import RemoteAE
from triage.spool.spool import Spool
from triage.spool.study import Study, read_study

OID = "1.2.40.0.13.1.1"


def an_item(**attributes: object) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def universal() -> Dataset:
    return an_item(UniversalEntityID=OID, UniversalEntityIDType="ISO")


def stored(spool: Spool, study: str, tag: Tag, **attributes: object) -> None:
    dataset = a_radiograph(study, **attributes)
    facts = {"accession_issuer": str(accession_issuer(dataset)), "patient": patient_marks(dataset)}
    add_image(spool, dataset, tag=tag, probability=0.9 if tag is Tag.ABNORMAL else 0.1, **facts)


def known(spool: Spool, study: str) -> Study:
    settle(spool, study)
    found = read_study(spool, study)
    assert found is not None
    return Study(*found, now=1e9, revision="f" * 32)


@pytest.fixture
def issued(spool: Spool) -> Study:
    issuer = universal()
    issuer.LocalNamespaceEntityID = "RIS_A"
    attributes = {
        "IssuerOfPatientID": "HOSP_A",
        "IssuerOfPatientIDQualifiersSequence": [universal()],
        "IssuerOfAccessionNumberSequence": [issuer],
    }
    stored(spool, "1.2.3", Tag.ABNORMAL, **attributes)
    return known(spool, "1.2.3")


def segments(study: Study, **profile: str) -> dict[str, list[str]]:
    lines = message(study, Profile(**profile), "C").decode().split("\r")  # type: ignore[arg-type]
    return {line[:3]: line.split("|") for line in lines if line}


def test_hl7_names_the_issuers_where_its_fields_have_a_place_for_them(issued: Study) -> None:
    sent = segments(issued, accession_in="OBR-3")
    assert sent["PID"][3] == f"P-1^^^HOSP_A&{OID}&ISO"
    assert sent["OBR"][3] == f"ACC-1^RIS_A^{OID}^ISO"
    assert segments(issued, accession_in="OBR-18")["OBR"][18] == "ACC-1"


def test_without_an_issuer_a_message_is_as_it_was(spool: Spool) -> None:
    stored(spool, "1.2.3", Tag.ABNORMAL)
    assert segments(known(spool, "1.2.3"), accession_in="OBR-3")["OBR"][3] == "ACC-1"


def test_a_workitem_names_the_issuers(issued: Study) -> None:
    made = dcmread(BytesIO(UPSChannel(RemoteAE("127.0.0.1", 1, "A", "B"), "CXR").build(issued).payload))
    (qualifiers,) = made.IssuerOfPatientIDQualifiersSequence
    assert (made.IssuerOfPatientID, qualifiers.UniversalEntityID) == ("HOSP_A", OID)
    (issuer,) = made.ReferencedRequestSequence[0].IssuerOfAccessionNumberSequence
    assert (issuer.LocalNamespaceEntityID, issuer.UniversalEntityID, issuer.UniversalEntityIDType) == (
        *("RIS_A", OID, "ISO"),
    )


def test_a_structured_report_names_the_issuers(issued: Study) -> None:
    made = report(issued, "comprehensive", "2.25.1")
    assert made.IssuerOfPatientID == "HOSP_A"
    assert made.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == OID
    assert made.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "RIS_A"


def test_a_webhook_names_the_issuer(issued: Study) -> None:
    content = json.loads(WebhookChannel("http://127.0.0.1", b"secret", 5.0).build(issued).payload)
    assert (content["accession_number"], content["accession_issuer"]) == ("ACC-1", f"RIS_A&{OID}&ISO")


def test_of_a_study_of_two_patients_messages_name_the_one_who_is_raised(spool: Spool) -> None:
    stored(spool, "1.2.3", Tag.NORMAL, PatientID="WRONG", PatientName="ROE^MARY", AccessionNumber="ACC-WRONG")
    stored(spool, "1.2.3", Tag.ABNORMAL)
    study = known(spool, "1.2.3")
    assert (study.decision.tag, study.decision.reasons) == (Tag.ABNORMAL, (Reason.PATIENT_MISMATCH,))
    sent = segments(study)
    assert (sent["PID"][3], sent["OBR"][18]) == ("P-1", "ACC-1")
    assert report(study, "comprehensive", "2.25.1").PatientID == "P-1"
    made = dcmread(BytesIO(UPSChannel(RemoteAE("127.0.0.1", 1, "A", "B"), "CXR").build(study).payload))
    assert (made.PatientID, made.ReferencedRequestSequence[0].AccessionNumber) == ("P-1", "ACC-1")
