"""What a structured report says, and that other people's programs can read it."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.base import Built
from triage.channels.sr.channel import DOCUMENTS, SOP_CLASSES, SRChannel
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.dicom.requestor import RemoteAE
from triage.spool.spool import Spool
from triage.spool.study import PreviousMessage, Study, read_study, revision

CHANNEL = SRChannel(RemoteAE("127.0.0.1", 1, "PACS", "US", 1.0))
NAMES = {
    "ISO_IR 100": "Müller^Jürgen",
    "ISO_IR 144": "Люкceмбypг^Роза",
    "ISO_IR 192": "Wang^XiaoDong=王^小東",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
}


def facts(spool: Spool, study: str, **changes: Any) -> Study:
    known = read_study(spool, study)
    assert known is not None
    return Study(*known, **{"now": 0.0, "revision": revision(*known, "test", ""), **changes})


def built(spool: Spool, study: str, channel: SRChannel = CHANNEL, **changes: Any) -> Dataset:
    return dcmread(BytesIO(channel.build(facts(spool, study, **changes)).payload))


def items(node: Dataset, meaning: str) -> list[Dataset]:
    """Every content item of that name, at any depth."""
    found = []
    for item in node.get("ContentSequence", []):
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            found.append(item)
        found += items(item, meaning)
    return found


def codes(node: Dataset, meaning: str) -> list[str]:
    return [item.ConceptCodeSequence[0].CodeValue for item in items(node, meaning)]


def test_a_study_whose_object_no_worker_could_open_has_a_report_too(spool: Spool):
    """Of a dead letter the assessment says next to nothing, see ``Scorer.give_up``."""
    radiograph = a_radiograph("1.2.3")
    nothing = {"sop_class_uid": "", "series_instance_uid": "", "modality": "", "accession_number": ""}
    unopened = {"tag": Tag.NOT_ASSESSED, "probability": None, "reasons": (Reason.WORKER_FAILURE,), "model_id": None}
    add_image(spool, radiograph, **nothing, **unopened)
    settle(spool, "1.2.3")
    report = built(spool, "1.2.3")
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == radiograph.SeriesInstanceUID
    assert [each.ReferencedSOPClassUID for each in series.ReferencedSOPSequence] == [radiograph.SOPClassUID]
    assert report.PatientID == radiograph.PatientID


def test_a_report_says_tag_probability_model_and_image(spool: Spool):
    study = a_study(spool, tag=Tag.ABNORMAL)
    report = built(spool, study)
    (image,) = facts(spool, study).images

    (number,) = items(report, "Probability of abnormality")
    assert number.MeasuredValueSequence[0].NumericValue == 0.91
    assert codes(report, "Normality") == ["263654008", "263654008"]  # the image's and the study's
    assert [item.TextValue for item in items(report, "Algorithm Name")] == ["rsna-adult"]
    assert [item.TextValue for item in items(report, "Algorithm Version")] == ["1"]
    assert f"model sha256 {'b' * 64}" in [item.TextValue for item in items(report, "Algorithm Parameters")]
    (source,) = items(report, "Source") + items(report, "Source of Measurement")
    assert source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.header.SOPInstanceUID
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )


def test_it_lies_in_the_original_study_in_a_series_of_its_own(spool: Spool):
    study = a_study(spool)
    report = built(spool, study)
    (image,) = facts(spool, study).images

    assert report.StudyInstanceUID == study
    assert report.SeriesInstanceUID != image.header.SeriesInstanceUID
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyDate", "StudyTime", "SpecificCharacterSet"):
        assert report[keyword].value == image.header[keyword].value, keyword


def test_a_study_that_is_not_assessed_says_why(spool: Spool):
    study = a_study(spool, tag=Tag.NOT_ASSESSED, reasons=(Reason.UNDECODABLE,), model_id=None)
    report = built(spool, study)

    assert codes(report, "Normality") == ["371934000"]
    assert codes(report, "Reason") == ["undecodable"]
    assert not items(report, "Probability of abnormality")
    assert report.CurrentRequestedProcedureEvidenceSequence


def test_the_scores_of_shadow_models_are_not_in_it(spool: Spool):
    study = a_study(spool, tag=Tag.NORMAL)
    add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.99, shadow=True)
    settle(spool, study)

    assert len(items(built(spool, study), "Probability of abnormality")) == 1
    assert codes(built(spool, study), "Normality") == ["17621005", "371934000"]  # the other image is not assessed


def test_nothing_is_said_of_a_study_that_only_a_shadow_model_saw(spool: Spool):
    study = a_study(spool, tag=Tag.ABNORMAL, shadow=True)

    assert not CHANNEL.wants(facts(spool, study))


@pytest.mark.parametrize(("offset", "content"), [("+0530", ("20260301", "063000")), ("-0800", ("20260228", "170000"))])
def test_its_times_are_in_the_images_time_zone(spool: Spool, offset: str, content: tuple[str, str]):
    moment = datetime(2026, 3, 1, 1, 0, tzinfo=UTC).timestamp()
    report = built(spool, a_study(spool, attributes={"TimezoneOffsetFromUTC": offset}, assessed_at=moment))

    assert report.TimezoneOffsetFromUTC == offset
    assert (report.ContentDate, report.ContentTime) == content
    assert "TimezoneOffsetFromUTC" not in built(spool, a_study(spool))


def test_it_names_the_installation_that_made_it(spool: Spool, tmp_path: Path):
    uid = spool.installation_uid()
    report = built(spool, a_study(spool), SRChannel(CHANNEL.peer, device_uid=uid))

    assert [item.UID for item in items(report, "Device Observer UID")] == [uid]
    assert Spool.open(spool.root).installation_uid() == uid
    assert Spool.open(tmp_path / "another").installation_uid() != uid


def test_the_same_facts_make_the_same_bytes(spool: Spool):
    study = a_study(spool)

    assert CHANNEL.build(facts(spool, study)) == CHANNEL.build(facts(spool, study, now=99.0))


def test_an_update_is_another_object_and_names_what_it_replaces(spool: Spool):
    study = a_study(spool, tag=Tag.NORMAL)
    first = CHANNEL.build(facts(spool, study))
    add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.97)
    settle(spool, study)
    told = PreviousMessage(facts(spool, study).revision, Tag.NORMAL, first.identity)
    update = built(spool, study, number=2, before=told, revision="e" * 32)

    old = dcmread(BytesIO(first.payload))
    assert update.SOPInstanceUID != old.SOPInstanceUID
    assert (update.SeriesInstanceUID, update.InstanceNumber) == (old.SeriesInstanceUID, 2)
    (predecessor,) = update.PredecessorDocumentsSequence
    assert predecessor.StudyInstanceUID == study
    (series,) = predecessor.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert len(items(update, "Probability of abnormality")) == 2


@pytest.mark.parametrize("character_set", NAMES)
def test_names_keep_their_characters(spool: Spool, character_set: str):
    given = character_set.split("\\") if "\\" in character_set else character_set
    study = a_study(spool, attributes={"SpecificCharacterSet": given, "PatientName": NAMES[character_set]})
    report = built(spool, study)

    assert report.get("SpecificCharacterSet") == given
    assert report.PatientName == NAMES[character_set]


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientSex": "female", "PatientBirthDate": "unknown", "StudyDate": "20.1.2020", "StudyTime": "noon"},
        {"PatientName": None, "PatientID": None, "AccessionNumber": None},
        {"PatientName": "A^B^C^D^E^F^G" * 12, "SpecificCharacterSet": "NO SUCH SET"},
    ],
)
@pytest.mark.filterwarnings("ignore")  # pydicom's, about what this test writes on purpose
def test_odd_patients_get_a_report_all_the_same(spool: Spool, attributes: dict[str, Any]):
    report = built(spool, a_study(spool, attributes=attributes))

    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "ReferringPhysicianName"):
        assert keyword in report


def test_an_object_that_cannot_be_read_gets_a_report_of_what_is_known(spool: Spool):
    study = a_study(spool, tag=Tag.NOT_ASSESSED, reasons=(Reason.UNDECODABLE,))
    (stored,) = spool.study_folder(study).glob("*.dcm")
    stored.write_bytes(b"broken")

    assert built(spool, study).StudyInstanceUID == study


def written(built_: Built, folder: Path) -> Path:
    path = folder / "report.dcm"
    path.write_bytes(built_.payload)
    return path


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("tag", Tag)
def test_other_programs_find_no_fault_with_it(spool: Spool, tmp_path: Path, document: str, tag: Tag):
    for program in ("/usr/bin/dciodvfy", "/usr/bin/dsrdump"):
        if shutil.which(program) is None:
            pytest.skip(f"{program}: sudo apt-get install dcmtk dicom3tools")
    reasons = (Reason.VIEW_UNVERIFIED,) if tag is Tag.NOT_ASSESSED else ()
    study = a_study(spool, tag=tag, reasons=reasons)
    path = written(SRChannel(CHANNEL.peer, document).build(facts(spool, study)), tmp_path)
    assert dcmread(path).SOPClassUID == SOP_CLASSES[list(DOCUMENTS).index(document)]

    checked = subprocess.run(["/usr/bin/dciodvfy", str(path)], capture_output=True, text=True)
    assert not [line for line in checked.stderr.splitlines() if line.startswith("Error")], checked.stderr
    shown = subprocess.run(["/usr/bin/dsrdump", "+Pc", str(path)], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "Normality" in shown.stdout
    limits = "VR checker does not support this Specific Character Set"  # DCMTK's own, about ISO_IR 192
    assert not [line for line in shown.stderr.splitlines() if line and limits not in line], shown.stderr
