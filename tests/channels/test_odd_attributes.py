"""One odd attribute never keeps an ABNORMAL from anybody: it is left out or repaired, and that is said."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from tests.channels.test_hl7 import a_deliverer as a_ris
from tests.delivery.test_deliverer import states
from tests.support.builders import a_decision, a_map, an_assessment
from tests.support.dicom_peer import encoded
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.raw_elements import element, item, pieces, with_elements
from tests.support.studies import a_radiograph, a_study
from triage.channels.base import Built, Channel
from triage.channels.hl7.channel import HL7Channel, Receiver
from triage.channels.hl7.message import Profile
from triage.channels.patient_study import left_out, of_patient_and_study
from triage.channels.secondary_capture.image import secondary_capture
from triage.channels.sr.channel import SRChannel
from triage.channels.ups.channel import UPSChannel
from triage.channels.webhook.channel import WebhookChannel
from triage.decision.types import Priority, Tag
from triage.delivery.record import DeliveryState
from triage.dicom.requestor import RemoteAE
from triage.hl7.message_types import ORM
from triage.radiograph.attributes import read_attributes
from triage.spool.spool import Spool
from triage.spool.study import Study, StudyImage

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of what is odd
STUDY = "1.2.3"
PEER = RemoteAE("127.0.0.1", 1, "PACS", "US", 1.0, None)
RECEIVER = Receiver("127.0.0.1", 1, 1.0)
CHANNELS: dict[str, Channel] = {
    "sr": SRChannel(PEER),
    "ups": UPSChannel(PEER, "CXR triage"),
    "hl7": HL7Channel("ris", RECEIVER, Profile()),
    "order": HL7Channel("ris", RECEIVER, Profile(message=ORM)),
    "webhook": WebhookChannel("http://127.0.0.1/", b"secret", 1.0),
}
TAKEN_OVER = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientIDsSequence", "QualityControlSubject"),
    *("PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight", "StudyID", "StudyDate"),
    *("StudyTime", "StudyDescription", "AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName"),
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "SeriesInstanceUID", "SOPClassUID", "PatientOrientation"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "AcquisitionDate"),
    *("AcquisitionTime", "RequestAttributesSequence", "ProcedureCodeSequence", "RequestedProcedureCodeSequence"),
    *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest", "StationName"),
    "IssuerOfPatientIDQualifiersSequence",
)
"""Every attribute of an image that any message, page or decision takes over."""

BESIDE = {"PatientName": "DOE^JANE", "PatientID": "P-1", "AccessionNumber": "ACC-1", "PatientSex": "F", "StudyID": "7"}

NESTED = item(
    element("PatientID", b"\\\x1b\r\n|^~&"), element("CodeValue", b"A" * 5000), element("PatientName", b"\xff")
)
ODDITIES: dict[str, tuple[str, bytes]] = {  # VR (empty: that of the dictionary), value
    "as LO": ("LO", b"ABC"),
    "as PN": ("PN", b"A^B\\C^D"),
    "as UN": ("UN", b"ABC"),
    "as UN, binary": ("UN", bytes(range(256))),
    "as OB": ("OB", b"A\0\xff"),
    "as US": ("US", b"\x01\x00\x02\x00"),
    "as US, of one byte too many": ("US", b"\x01\x00\x02\x00\x03\x00"),
    "as FD": ("FD", b"\x00\x00\x00\x00\x00\x00\xf8\x7f"),
    "as AT": ("AT", b"\x10\x00\x10\x00"),
    "as IS": ("IS", b"twelve"),
    "as DS": ("DS", b"1,5"),
    "as UI": ("UI", b"1.2.x"),
    "as DA": ("DA", b"yesterday"),
    "as a sequence": ("SQ", item(element("CodeValue", b"A"))),
    "as a sequence of odd items": ("SQ", NESTED),
    "as a sequence of no items": ("SQ", b"nonsense"),
    "too long": ("", b"A" * 10_240),
    "rather too long": ("", b"B" * 70),
    "several": ("", b"A1\\B2"),
    "several and empty": ("", b"\\\\A1\\"),
    "a hundred": ("", b"\\".join(b"V%d" % number for number in range(100))),
    "delimiters": ("", b"A|1^2&3~4"),
    "line ends": ("", b"A1\r\nOBX|1|CWE"),
    "a zero": ("", b"A\0B"),
    "escape": ("", b"A\x1b[31mB\x1b$B"),
    "not ASCII": ("", b"\x8e\x52\x93\x63^\x91\xbe\x98\x59"),
    "half a character": ("", "山".encode()[:2]),
    "groups": ("", b"A=B=C=D=E^^^^^^^F"),
    "zeros": ("", b"\0\0\0\0"),
    "blanks": ("", b"    "),
    "a time zone of four days": ("", b"+9900"),
    "no date": ("", b"20231345"),
    "negative": ("", b"-1"),
    "not a number": ("", b"nan"),
}
CHARACTER_SETS = [
    b"",
    b"ISO_IR 100",
    b"ISO_IR 192",
    b"ISO_IR 13",
    b"\\ISO 2022 IR 87",
    b"GB18030",
    b"ISO_IR 999",
    b"x\\y",
]


@cache
def whole() -> dict[int, bytes]:
    return pieces(
        a_radiograph(STUDY, PatientSex="F", PatientBirthDate="19700101", StudyID="7", ReferringPhysicianName="ROE^R")
    )


def a_header(raw: dict[str, bytes]) -> Dataset:
    return with_elements(whole(), raw)


def facts(header: Dataset) -> Study:
    found = read_attributes(deepcopy(header))  # which has pydicom decode, and forget the bytes
    assessment = an_assessment(
        study_instance_uid=STUDY,
        series_instance_uid=found.series_instance_uid,
        sop_instance_uid="1.2.3.4",
        sop_class_uid=found.sop_class_uid,
        accession_number=found.accession_number,
        tag=Tag.ABNORMAL,
        probability=0.9,
    )
    decision = a_decision(
        STUDY, tag=Tag.ABNORMAL, priority=Priority.HIGH, probability=0.9, accession_number=found.accession_number
    )
    return Study(decision, (StudyImage(assessment, header),), now=1772352906.0, revision="0" * 32)


def says_abnormal(channel: str, payload: bytes) -> None:
    """The message can be read, names the study, and says that it is abnormal."""
    if channel == "webhook":
        said = json.loads(payload)
        assert (said["study_instance_uid"], said["tag"]) == (STUDY, "ABNORMAL")
    elif channel == "hl7":
        assert b"|ABNORMAL^Abnormal^99CXRTRIAGE|" in payload and STUDY.encode() in payload
        assert all(line[3:4] == b"|" for line in payload.rstrip(b"\r").split(b"\r"))
    elif channel == "order":
        assert b"^^^^^A" in payload
    else:
        read = dcmread(BytesIO(payload))
        assert read.StudyInstanceUID == STUDY
        every_value_fits(read)


def every_value_fits(dataset: Dataset) -> None:
    """Each element has the VR of the dictionary, and a value that pydicom can read as it."""
    for each in dataset.iterall():
        assert each.VR in dictionary_VR(each.tag), each.tag
        assert "\r" not in str(each.value), each.tag


def built(channel: str, study: Study) -> Built:
    made = CHANNELS[channel].build(study)
    assert isinstance(made, Built)
    return made


SAFE = ("PatientID", "AccessionNumber", "SpecificCharacterSet")


@pytest.mark.parametrize("keyword", TAKEN_OVER)
def test_whatever_one_attribute_is_those_beside_it_are_taken_over(keyword: str) -> None:
    first = TAKEN_OVER.index(keyword) % 6  # all of them, with all attributes odd at once, are the next test's
    for oddity, (vr, value) in list(ODDITIES.items())[first::6]:
        made = of_patient_and_study(a_header({keyword: element(keyword, value, vr)}), STUDY)
        assert all(made[each].value == whose for each, whose in BESIDE.items() if each != keyword), oddity
        every_value_fits(dcmread(BytesIO(encoded(Dataset(made))), force=True))


@pytest.mark.parametrize("oddity", ODDITIES)
def test_whatever_the_attributes_are_every_message_is_built(oddity: str) -> None:
    vr, value = ODDITIES[oddity]
    for odd in (TAKEN_OVER, [each for each in TAKEN_OVER if each not in SAFE]):
        study = facts(a_header({keyword: element(keyword, value, vr) for keyword in odd}))
        for name in CHANNELS:
            says_abnormal(name, built(name, study).payload)
    read = dcmread(BytesIO(built("sr", study).payload))
    assert (read.PatientID, read.AccessionNumber) == ("P-1", "ACC-1"), "and what is not odd is there"
    (image,) = study.images
    mapped = replace(image, assessment=replace(image.assessment, activation_map=a_map(), operating_point=0.5))
    _, content = secondary_capture(study, mapped, np.zeros((8, 8), np.uint8), 1, "2.25.1")
    every_value_fits(dcmread(BytesIO(content)))


@pytest.mark.parametrize("oddity", ["not ASCII", "half a character", "escape"])
@pytest.mark.parametrize("characters", CHARACTER_SETS)
def test_whatever_the_character_set_every_message_is_built(oddity: str, characters: bytes) -> None:
    raw = {"SpecificCharacterSet": element("SpecificCharacterSet", characters)}
    names = ("PatientName", "PatientID", "StudyDescription", "ReferringPhysicianName")
    study = facts(a_header({**raw, **{each: element(each, ODDITIES[oddity][1]) for each in names}}))
    for name in CHANNELS:
        says_abnormal(name, built(name, study).payload)


@pytest.mark.parametrize("characters", [b"", b"ISO_IR 100", b"ISO_IR 13", b"ISO_IR 192"])
def test_a_name_in_undeclared_shift_jis_is_in_the_report_as_it_is_in_the_image(characters: bytes) -> None:
    raw = {"SpecificCharacterSet": element("SpecificCharacterSet", characters)}
    name = "山田^太郎".encode("shift_jis")
    study = facts(a_header({**raw, "PatientName": element("PatientName", name)}))
    assert name in built("sr", study).payload


# What is said of it.


def test_which_attribute_was_left_out_and_why_is_said_without_its_value() -> None:
    raw = {
        "PatientName": element("PatientName", b"SECRET\\NAME"),
        "PatientID": element("PatientID", b"SECRET\rID"),
        "StudyDate": element("StudyDate", b"SECRET"),
        "TimezoneOffsetFromUTC": element("TimezoneOffsetFromUTC", b"+9900"),
        "PatientSize": element("PatientSize", b"\x01\x00", "US"),
    }
    found = left_out(a_header(raw))
    assert found == (
        "PatientName: several values",
        "PatientID: control characters in it",
        "StudyDate: not what its VR asks for",
        "TimezoneOffsetFromUTC: no offset",
    )


def test_what_is_repaired_says_the_same() -> None:
    raw = {
        "AccessionNumber": element("AccessionNumber", b"A1\\B2"),
        "PatientID": element("PatientID", b"P-7", "UN"),
        "StudyDescription": element("StudyDescription", b"A\r\nB " * 50),
        "IssuerOfPatientID": element("IssuerOfPatientID", b"HOSPITAL", "SH"),
    }
    read = dcmread(BytesIO(built("sr", facts(a_header(raw))).payload))
    assert (read.AccessionNumber, read.PatientID, read.IssuerOfPatientID) == ("A1", "P-7", "HOSPITAL")
    assert len(read.StudyDescription) >= 63 and read.StudyDescription.startswith("A B A B")


@pytest.mark.parametrize("zone", ["+0000", "-1200", "+1400", "+0545"])
def test_an_offset_that_is_one_stays(zone: str) -> None:
    raw = {"TimezoneOffsetFromUTC": element("TimezoneOffsetFromUTC", zone.encode())}
    header = a_header(raw)
    assert left_out(header) == ()
    assert dcmread(BytesIO(built("sr", facts(header)).payload)).TimezoneOffsetFromUTC == zone


@pytest.fixture
def odd_study(spool: Spool) -> Iterator[str]:
    yield a_study(spool, "ris", attributes={"PatientID": "P" * 300})


def test_the_record_the_log_and_a_metric_say_it(spool: Spool, odd_study: str, caplog: pytest.LogCaptureFixture) -> None:
    with mllp_listener(acknowledging("AA")) as listener:
        deliverer = a_ris(spool, listener.port)
        deliverer.round()
    assert states(deliverer, odd_study) == [DeliveryState.DELIVERED]
    (record,) = deliverer.outbox.records(odd_study)
    assert record.left_out == ("PatientID: it or its issuer is too long",)
    assert f"malformed attributes of study {odd_study} were left out of its message: PatientID" in caplog.text
    assert deliverer.metrics.repaired.labels("ris")._value.get() == 1


def test_what_nobody_foresaw_leaves_the_result_itself(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    study = a_study(spool, "ris")
    caplog.set_level(logging.WARNING, "triage")

    def explodes(header: Any) -> Any:
        if "PatientName" in header:
            raise RecursionError(str(header.PatientName))
        return ""

    monkeypatch.setattr("triage.channels.hl7.message._pid", explodes)
    with mllp_listener(acknowledging("AA")) as listener:
        deliverer = a_ris(spool, listener.port)
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert "ABNORMAL" in listener.received[0].decode()
    assert "could not be built with it (RecursionError)" in caplog.text
    assert "DOE" not in caplog.text
