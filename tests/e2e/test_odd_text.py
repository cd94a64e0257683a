"""Odd text in every attribute of an image at once, on every way on which any of it is shown or leaves."""

from __future__ import annotations

import csv
import logging
import unicodedata
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom.datadict import tag_for_keyword

from tests.channels.test_odd_attributes import CHANNELS, STUDY, built, facts, says_abnormal
from tests.support import audit_schema as schema
from tests.support.builders import an_assessment
from tests.support.odd_text import ODD
from tests.support.raw_elements import element, item, joined, pieces
from tests.support.redis_server import RedisServer
from tests.support.studies import a_radiograph, settle
from tests.support.worklist_page import served
from triage.commands.output.explain import print_explanation
from triage.commands.output.worklist import print_worklist
from triage.decision.records import decision_from, to_record
from triage.decision.types import Tag
from triage.dicom.data_set import read_header
from triage.dicom.part10 import data_set_in
from triage.hl7.mllp_frames import Frames, framed
from triage.radiograph.attributes import read_attributes
from triage.runtime.release import Running
from triage.security.audit_file import AuditFile
from triage.security.audit_message import AuditSource
from triage.security.audit_trail import note_requeue, trail_of
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.validation.cohort.feedback import export
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act, Marking, Via, mark

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of what is odd
TEXTS = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "SeriesDescription"),
    *("ProtocolName", "StationName", "Manufacturer", "InstitutionName", "BodyPartExamined", "ViewPosition"),
    *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest", "Modality"),
    *("RequestedProcedurePriority", "AcquisitionDeviceProcessingDescription", "PatientComments"),
    *("StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime", "TimezoneOffsetFromUTC"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "PatientSize", "PatientWeight", "ImageType"),
    *("PresentationIntentType", "PatientOrientation", "PatientPosition", "ImageLaterality", "QualityControlSubject"),
    *("PatientSpeciesDescription", "PatientBreedDescription", "LossyImageCompression", "LossyImageCompressionMethod"),
    *("LossyImageCompressionRatio", "BurnedInAnnotation", "ImageComments", "RescaleType", "VOILUTFunction"),
)
SEQUENCES = {
    "RequestAttributesSequence": ("AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription"),
    "RequestedProcedureCodeSequence": ("CodeValue", "CodeMeaning", "CodingSchemeDesignator"),
    "AnatomicRegionSequence": ("CodeValue", "CodeMeaning", "CodingSchemeDesignator"),
    "ViewCodeSequence": ("CodeValue", "CodeMeaning", "CodingSchemeDesignator"),
    "PatientSpeciesCodeSequence": ("CodeValue", "CodeMeaning", "CodingSchemeDesignator"),
    "ProcedureCodeSequence": ("CodeValue", "CodeMeaning", "CodingSchemeDesignator"),
    "OtherPatientIDsSequence": ("PatientID", "IssuerOfPatientID", "TypeOfPatientID"),
    "IssuerOfAccessionNumberSequence": ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType"),
    "IssuerOfPatientIDQualifiersSequence": ("UniversalEntityID", "UniversalEntityIDType"),
}
OTHER_VRS = ("OB", "UN", "US", "SQ", "FD")
KINDS: dict[str, tuple[str, str]] = {  # text, VR (empty: that of the dictionary)
    **{kind: (text, "") for kind, text in ODD.items()},
    **{f"under the VR {vr}": ("A|1\r\nB^2\x1b[31m", vr) for vr in OTHER_VRS},
}


def an_image(kind: str) -> bytes:
    """A data set whose text attributes all have the text of ``kind``, in UTF-8."""
    text, vr = KINDS[kind]
    value = text.encode()

    def odd(keyword: str) -> bytes:
        return element(keyword, item(element("CodeValue", value)) if vr == "SQ" else value, vr)

    raw = {keyword: odd(keyword) for keyword in TEXTS}
    for sequence, inside in SEQUENCES.items():
        raw[sequence] = element(sequence, item(*map(odd, sorted(inside, key=lambda each: tag_for_keyword(each) or 0))))
    raw["SpecificCharacterSet"] = element("SpecificCharacterSet", b"ISO_IR 192")
    return joined(pieces(a_radiograph(STUDY)), raw)


def stored(spool: Spool, content: bytes) -> str:
    """Put an image with its assessment and decision into a spool as the worker leaves them: its accession number."""
    found = read_attributes(read_header(BytesIO(content)))
    instance = ReceivedInstance(STUDY, "1.2.3.4", sha256(data_set_in(content)).hexdigest())
    part = spool.new_part()
    part.write_bytes(content)
    with part.open("rb") as file:
        spool.receive(part, file.fileno(), instance)
    assessment = an_assessment(
        study_instance_uid=STUDY,
        sop_instance_uid="1.2.3.4",
        content_digest=instance.content_digest,
        series_instance_uid=found.series_instance_uid,
        sop_class_uid=found.sop_class_uid,
        accession_number=found.accession_number,
        modality=found.modality,
        tag=Tag.ABNORMAL,
        probability=0.9,
    )
    spool.write_assessment(instance, to_record(assessment))
    spool.file(instance)
    settle(spool, STUDY)
    return found.accession_number


def is_plain(text: str) -> None:
    """No control character, no mark of writing direction: a terminal shows every line as what it is."""
    assert not [each for each in text if each != "\n" and unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_says_what_it_would_without(kind: str) -> None:
    study = facts(read_header(BytesIO(an_image(kind))))
    for name in CHANNELS:
        says_abnormal(name, built(name, study).payload)
    message = built("hl7", study).payload
    assert Frames(1 << 20).feed(framed(message)) == [message]
    assert [line[:3] for line in message.split(b"\r") if line] == [*(b"MSH", b"PID", b"OBR", b"TQ1"), *[b"OBX"] * 4]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_shown_as_text_everywhere(
    redis_server: RedisServer,
    spool: Spool,
    tmp_path: Path,
    kind: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "triage")
    accession = stored(spool, an_image(kind))
    with served(redis_server, spool, ups=True) as (address, sources):
        sources.worklist.put_all(decision_from(each) for each in spool.decisions())
        sources.worklist.end_building(sources.worklist.begin_building())
        mark(spool, sources.worklist, STUDY, Marking(Act.LABEL, 1.0, "ann", Via.PAGE, 1))
        # Page and JSON: whole, as JSON has it; nothing of it is in the page itself or in a header.
        (entry,) = httpx.get(f"{address}/api/worklist").json()["entries"]
        assert (entry["accession_number"], entry["tag"]) == (accession, "ABNORMAL")
        detail = httpx.get(f"{address}/api/studies/{STUDY}")
        assert detail.status_code == 200
        assert set(detail.json()["patient"]) >= {"PatientName", "PatientID"}
        assert "script" not in str(detail.headers).lower().replace("script-src", "")
        assert httpx.get(f"{address}/studies/{STUDY}").text == httpx.get(f"{address}/studies/1.2.3.4").text
        # UPS-RS.
        (workitem,) = httpx.get(f"{address}/workitems", headers={"Accept": "application/dicom+json"}).json()
        assert workitem["0020000D"]["Value"] == [STUDY]
        # Terminal.
        print_worklist(IndexedWorklist(redis_server.client()), 3600.0, 50)
        print_worklist(IndexedWorklist(redis_server.client()), 3600.0, 50, "json")
        print_explanation(STUDY, spool, redis_server.url, 5.0, Running("5e7"))
        is_plain(capsys.readouterr().out)
    # CSV: a row is a row, and no cell of a stranger's begins a formula.
    export(spool, tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(newline="") as file:
        heading, row = list(csv.reader(file))
    assert len(row) == len(heading)
    assert not [cell for cell in row if cell[:1] in tuple("=+@")]
    # The audit trail: one line of XML.
    written = trail_of(AuditFile(tmp_path / "audit.xml", 1 << 20), AuditSource("test", "test"))
    note_requeue(written, spool, [STUDY])
    schema.checked((tmp_path / "audit.xml").read_text().splitlines()[0])
    for record in caplog.records:
        is_plain(record.getMessage())
        assert not accession or len(accession) < 4 or accession not in record.getMessage()
