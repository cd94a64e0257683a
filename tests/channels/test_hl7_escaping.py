"""Whatever a modality writes into an attribute: the message has the segments it has without it, and the value back."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import hl7
import pytest
from pydicom import config, dcmread
from pydicom.dataset import Dataset

from tests.support.builders import a_decision, an_assessment
from tests.support.odd_text import ODD
from tests.support.studies import a_radiograph
from triage.channels.hl7.message import Profile, control_id, message, order_of
from triage.decision.types import Priority, Tag
from triage.dicom.dx_image import part10
from triage.hl7.message_types import ORM
from triage.hl7.mllp_frames import Frames
from triage.hl7.text import Encoded, components, escape, fill_segment, segment
from triage.inbound_reports.acknowledgement import AcknowledgementCode, acknowledgement
from triage.inbound_reports.message import MessageHeader
from triage.radiograph.attributes import read_attributes
from triage.spool.study import Study, StudyImage


def a_code(**attributes: str) -> Dataset:
    code = Dataset()
    code.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in {"CodeValue": "C", "CodeMeaning": "M", "CodingSchemeDesignator": "L", **attributes}.items():
        setattr(code, keyword, value)
    return code


def in_item(sequence: str, keyword: str) -> Callable[[str], dict[str, Any]]:
    def made(value: str) -> dict[str, Any]:
        item = a_code() if "Code" in sequence else Dataset()
        if keyword == "UniversalEntityIDType":
            item.UniversalEntityID = "1.2.3"
        setattr(item, keyword, value)
        return {sequence: [item]}

    return made


def at_the_top(keyword: str) -> Callable[[str], dict[str, Any]]:
    return lambda value: {keyword: value}


def first(value: str) -> str:
    return next((each.strip() for each in value.strip("\0 ").split("\\") if each.strip()), "")


def first_up_to(longest: int) -> Callable[[str], str]:
    return lambda value: found if len(found := first(value)) <= longest else ""


def whole(value: str) -> str:
    return value if len(value) <= 199 else ""


def cut(value: str) -> str:
    return value[:199]


def family_name(value: str) -> str:
    """Of the first of the groups of a name (alphabetic, ideographic, phonetic) that is not empty."""
    return next(group for group in value.split("=") if group).split("^")[0].strip()[:194]


PLACES: dict[str, tuple[Callable[[str], dict[str, Any]], tuple[str, int, int, int], Callable[[str], str]]] = {
    "AccessionNumber": (at_the_top("AccessionNumber"), ("OBR", 18, 1, 1), first_up_to(60)),
    "PlacerOrderNumberImagingServiceRequest": (
        in_item("RequestAttributesSequence", "PlacerOrderNumberImagingServiceRequest"),
        ("OBR", 2, 1, 1),
        first_up_to(199),
    ),
    "FillerOrderNumberImagingServiceRequest": (
        at_the_top("FillerOrderNumberImagingServiceRequest"),
        ("OBR", 3, 1, 1),
        first_up_to(199),
    ),
    "PatientID": (at_the_top("PatientID"), ("PID", 3, 1, 1), whole),
    "IssuerOfPatientID": (at_the_top("IssuerOfPatientID"), ("PID", 3, 4, 1), whole),
    "UniversalEntityID": (
        in_item("IssuerOfPatientIDQualifiersSequence", "UniversalEntityID"),
        ("PID", 3, 4, 2),
        whole,
    ),
    "PatientName": (at_the_top("PatientName"), ("PID", 5, 1, 1), family_name),
}
CODES = {
    keyword: (in_item("ProcedureCodeSequence", keyword), ("OBR", 4, number, 1), rule)
    for keyword, number, rule in (
        ("CodeValue", 1, whole),
        ("CodeMeaning", 2, cut),
        ("CodingSchemeDesignator", 3, whole),
    )
}
DATES_AND_CODES = ("PatientSex", "PatientBirthDate", "AcquisitionDate", "AcquisitionTime", "UniversalEntityIDType")
"""Text that goes out only where it is what it should be."""


def a_study_with(attributes: dict[str, Any]) -> Study:
    """A raised study of one image that came over DICOM with these attributes."""
    values = {"SpecificCharacterSet": "ISO_IR 192", **attributes}
    with config.disable_value_validation():
        content = part10(a_radiograph("1.2.3", **values))
        header = dcmread(BytesIO(content), stop_before_pixels=True)
    decision = a_decision(
        "1.2.3",
        tag=Tag.ABNORMAL,
        priority=Priority.HIGH,
        probability=0.91,
        accession_number=read_attributes(header).accession_number,
        model_id="m|1",
    )
    return Study(decision, (StudyImage(an_assessment(), header),), now=1772352906.0)


def sent(study: Study, **profile: Any) -> tuple[bytes, hl7.Message]:
    with config.disable_value_validation():
        content = message(study, Profile(**profile), control_id("0" * 32))
    return content, hl7.parse(content.decode("utf-8"))


def names(parsed: hl7.Message) -> list[str]:
    return [str(each[0]) for each in parsed]


def value_of(parsed: hl7.Message, name: str, number: int, component: int = 1, part: int = 1) -> str:
    """Escapes undone; empty where the field, or that part of it, is."""
    found = parsed.segment(name)
    return str(found.extract_field(1, number, 1, component, part)) if number < len(found) and str(found[number]) else ""


def as_received(value: str) -> str:
    """What has no escape sequence in every character set is a space."""
    return re.sub("[\x80-\x9f\u2028\u2029]", " ", value.strip(" \0\t\r\n"))


def holds(content: bytes) -> None:
    """One frame, and no control character but the ends of segments: no reader finds another line."""
    assert Frames(1 << 20).feed(b"\x0b" + content + b"\x1c\r") == [content]
    assert not re.search("[\x00-\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]", content.decode("utf-8"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("keyword", PLACES)
def test_a_value_comes_back_and_adds_no_segment(keyword: str, kind: str):
    attributes, (name, field, component, part), rule = PLACES[keyword]
    content, parsed = sent(a_study_with(attributes(ODD[kind])))

    holds(content)
    assert names(parsed) == ["MSH", "PID", "OBR", "TQ1", "OBX", "OBX", "OBX", "OBX"]
    assert [len(each) for each in parsed.segments("OBX")] == [15] * 4
    assert value_of(parsed, name, field, component, part) == as_received(rule(ODD[kind]))
    assert "['" not in content.decode("utf-8").replace("A\\X1B\\['", "")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("keyword", CODES)
def test_the_order_s_own_procedure_comes_back(keyword: str, kind: str):
    attributes, (name, field, component, part), rule = CODES[keyword]
    content, parsed = sent(a_study_with(attributes(ODD[kind])), message=ORM)

    holds(content)
    assert names(parsed) == ["MSH", "PID", "ORC", "OBR"]
    expected = as_received(rule(ODD[kind]))
    if not expected:  # a code of which a part is missing would be another one: our own stands there
        expected = ("CXRTRIAGE", "Chest radiograph triage", "99CXRTRIAGE")[component - 1]
    assert value_of(parsed, name, field, component, part) == expected
    assert value_of(parsed, "OBR", 27, 6) == "A"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("keyword", DATES_AND_CODES)
def test_what_is_no_date_or_code_adds_no_segment(keyword: str, kind: str):
    qualifiers = in_item("IssuerOfPatientIDQualifiersSequence", keyword)
    odd = ODD[kind].encode().decode("latin-1")  # these VRs are bytes: Specific Character Set does not hold for them
    made = qualifiers(odd) if keyword == "UniversalEntityIDType" else {keyword: odd}
    content, parsed = sent(a_study_with(made))

    holds(content)
    assert names(parsed) == ["MSH", "PID", "OBR", "TQ1", "OBX", "OBX", "OBX", "OBX"]
    assert str(parsed.segment("OBR")[18]) == "ACC-1"
    assert str(parsed.segment("PID")[5]).startswith("DOE^JANE")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_a_segment_of_the_site_s_own_holds(kind: str):
    template = "ZPR|{priority}|{accession_number}|{placer}|{patient_id}|end"
    made = {"AccessionNumber": ODD[kind], "PatientID": ODD[kind], "PlacerOrderNumberImagingServiceRequest": ODD[kind]}
    content, parsed = sent(a_study_with(made), priority_in="segment", priority_segment=template, priority_code="1")

    holds(content)
    assert names(parsed) == ["MSH", "PID", "OBR", "OBX", "OBX", "OBX", "OBX", "ZPR"]
    rules = (first_up_to(60), first_up_to(199), whole)
    assert [value_of(parsed, "ZPR", number) for number in (1, 2, 3, 4, 5)] == [
        "1",
        *(as_received(rule(ODD[kind])) for rule in rules),
        "end",
    ]


@pytest.mark.parametrize("accession_in", ["OBR-2", "OBR-3", "OBR-18", "OBR-19", "OBR-20"])
def test_the_accession_number_is_escaped_wherever_it_goes(accession_in: str):
    odd = "A1\rORC|CA|A2\rOBX|1|CWE||^NORMAL"
    _, parsed = sent(a_study_with({"AccessionNumber": odd}), accession_in=accession_in)

    assert names(parsed)[:4] == ["MSH", "PID", "OBR", "TQ1"]
    assert value_of(parsed, "OBR", int(accession_in.partition("-")[2])) == odd


def test_an_order_whose_number_fits_no_field_is_unknown():
    study = a_study_with({"AccessionNumber": ODD["long"]})

    assert not order_of(study).known


def test_an_order_sequence_that_is_text_says_nothing():
    study = a_study_with({})
    study.images[0].header.add_new("RequestAttributesSequence", "LO", "PLACER^1")

    assert order_of(study).placer == ""
    assert order_of(study).accession_number == "ACC-1"


@pytest.mark.parametrize("kind", ODD)
def test_an_acknowledgement_holds_whatever_the_sender_calls_itself(kind: str):
    odd = ODD[kind]
    header = MessageHeader(
        control_id=odd, sending=(odd, odd), receiving=(odd, odd), kind=f"ORU^{odd}", processing_id=odd
    )
    answer = acknowledgement(header, AcknowledgementCode.ERROR, odd, "1", 1772352906.0)
    parsed = hl7.parse(answer.decode("ascii"))

    holds(answer)
    assert names(parsed) == ["MSH", "MSA", "ERR"]
    expected = re.sub("[\x80-\x9f\u2028\u2029]", " ", odd).encode("ascii", "replace").decode()
    assert value_of(parsed, "MSA", 2) == expected
    assert value_of(parsed, "ERR", 8) == expected
    assert value_of(parsed, "MSH", 11) == expected


def test_a_field_that_nobody_escaped_is_escaped_in_the_segment():
    assert segment("ZZZ", {1: "a|b\rc", 3: components("x", "y^z")}) == "ZZZ|a\\F\\b\\X0D\\c||x^y\\S\\z"
    assert fill_segment("ZPR|{placer}", {"placer": "a|b"}) == "ZPR|a\\F\\b"


def test_nothing_is_escaped_twice_or_cut_within_an_escape_sequence():
    assert escape(escape("a|b")) == "a\\F\\b"
    assert escape("a|b|c", 2) == "a\\F\\"
    assert isinstance(escape(""), Encoded)
