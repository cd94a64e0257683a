"""docs/reference/conformance.md says what the code negotiates, answers and writes."""

from __future__ import annotations

import re
from pathlib import Path

from pydicom.dataset import Dataset

from tests.support.builders import a_decision, an_assessment
from tests.support.hl7_examples import EXAMPLES, example
from triage.channels.hl7.message import control_id, message
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.dicom import command_set
from triage.listener.negotiation import REJECTIONS
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.reference.conformance import tables
from triage.spool.study import Study, StudyImage

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "conformance.md"
TEXT = PAGE.read_text()


def rows(name: str) -> list[list[str]]:
    """The cells of a generated table, without its heading."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables()[name].splitlines()[2:]]


def fields(text: str) -> set[str]:
    """The fields of a message that are not empty, as PID-3."""
    found = set()
    for segment in filter(None, text.split("\n")):
        name, *values = segment.split("|")
        first = 1
        if name == "MSH":
            found.add("MSH-1")
            first = 2  # the separator is a field of its own
        found |= {f"{name}-{number}" for number, value in enumerate(values, first) if value}
    return found


def documented(kind: str) -> set[str]:
    """The fields that the page gives for ORU or ORM."""
    cells = re.findall(r"^\| ((?:[A-Z0-9]{3}-\d+(?:, )?)+) \| .* \| ((?:ORU|ORM|, )+) \|$", TEXT, re.MULTILINE)
    return {field for names, kinds in cells if kind in kinds for field in names.split(", ")}


def not_assessed(name: str) -> str:
    """The message of an example of a study without a probability, with a reason, of Japanese images."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO 2022 IR 87"
    decision = a_decision("1.2.3", tag=Tag.NOT_ASSESSED, probability=None, reasons=(Reason.AGE_UNKNOWN,))
    study = Study(decision, (StudyImage(an_assessment(), header),), now=1772352906.0)
    return message(study, EXAMPLES[name], control_id("0" * 32)).decode("iso2022_jp").replace("\r", "\n")


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    assert set(re.findall(r"<!-- table: ([a-z-]+) -->", TEXT)) == set(tables())


def test_the_tables_cover_everything_that_is_negotiated_and_answered() -> None:
    assert [row[2] for row in rows("transfer-syntaxes")] == list(TRANSFER_SYNTAXES)
    assert {tuple(map(int, row[:3])) for row in rows("rejections")} == set(REJECTIONS.values())
    statuses = {
        name: value for name, value in vars(command_set).items() if re.fullmatch(r"(?!C_)[A-Z]+(_[A-Z]+)*", name)
    }
    del statuses["RESPONSE"]  # a bit of the command field
    assert {int(row[0], 16) for row in rows("store-statuses")} == set(statuses.values())


def test_two_classes_are_scored_and_no_other() -> None:
    scored = [row[1] for row in rows("storage-classes") if row[2] == "scored"]
    assert scored == ["1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"]


def test_every_attribute_is_a_public_one_and_what_names_the_patient_is_explained() -> None:
    names = {row[0] for row in rows("attributes")}
    assert {"View Position", "Patient's Age", "Requested Procedure Priority"} <= names
    assert {"Patient's Name", "Patient ID"} <= names
    assert "kept as digests" in TEXT


def test_the_profile_of_hl7_names_every_field_that_is_filled_and_no_other() -> None:
    sent = {"ORU": ("TQ1", "OBR-27"), "ORM": ("ORM",)}
    for kind, names in sent.items():
        filled = {field for name in names for text in (example(name), not_assessed(name)) for field in fields(text)}
        facilities = {"MSH-4"}  # ours is empty until a site sets it
        assert documented(kind) == filled | facilities, kind
