"""Findings in a structured report: state, score and operating point for each image, and their state in the study."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from highdicom.sr import srread
from pydicom.dataset import Dataset

from tests.channels.test_sr import CHANNEL, built, codes, facts, items
from tests.support.findings import CRITICAL_EFFUSION, a_score, scored
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.sr.channel import DOCUMENTS, SRChannel
from triage.decision.findings import FindingScore
from triage.decision.reasons import Reason
from triage.decision.records import to_record
from triage.decision.types import Tag
from triage.spool.spool import Spool

NEGATIVES = (a_score("effusion", 0.1), a_score("fracture", 0.2, negative_means_absent=False))


def a_found_study(spool: Spool, *images: tuple[FindingScore, ...], study: str = "1.2.3", **changes: Any) -> str:
    for findings in images:
        add_image(spool, a_radiograph(study), **{**scored(*findings), **changes})
    settle(spool, study, policy=CRITICAL_EFFUSION)
    return study


def said(node: Dataset) -> list[tuple[str, str]]:
    """Name and value of each CODE, NUM and TEXT item, in the order of the document."""
    found = []
    for item in node.get("ContentSequence", []):
        name = item.ConceptNameCodeSequence[0].CodeMeaning
        if item.ValueType == "CODE":
            found.append((name, item.ConceptCodeSequence[0].CodeMeaning))
        elif item.ValueType == "NUM":
            found.append((name, str(item.MeasuredValueSequence[0].NumericValue)))
        elif item.ValueType == "TEXT":
            found.append((name, item.TextValue))
        found += said(item)
    return found


def of_study(report: Dataset) -> list[tuple[str, str]]:
    (evaluations,) = [e for e in report.ContentSequence if e.ConceptNameCodeSequence[0].CodeValue == "C0034375"]
    return said(evaluations)


def test_every_value_of_the_study_stands_behind_what_it_is_and_what_was_looked_for_is_said(spool: Spool):
    report = built(spool, a_found_study(spool, (a_score("effusion", 0.9), NEGATIVES[1], a_score("nodule", 0.1))))

    assert of_study(report) == [
        ("Comment", "AI triage, unverified, of the frontal images."),
        ("Normality", "Abnormal"),
        ("Urgency of findings", "Critical"),
        ("Pleural effusion", "Present"),
        ("Fracture", "Undetermined"),
        ("Nodule", "Absent"),
        ("Comment", "Looked for: Effusion (present), Fracture (undetermined), Nodule (absent)."),
        ("Comment", "Nothing else was looked for."),
    ]
    assert not [value for _, value in said(report) if value in ("HIGH", "MEDIUM", "LOW")]  # the reading priority


def test_an_image_has_state_score_and_operating_point_of_each_finding(spool: Spool):
    findings = (
        a_score("effusion", 0.91, threshold=0.35, point="2026-11 frontal"),
        a_score("device", 0.8, counts=False),
    )
    report = built(spool, a_found_study(spool, findings))
    (image,) = facts(spool, "1.2.3").images
    groups = {items(each, "Tracking Identifier")[0].TextValue: each for each in items(report, "Measurement Group")}

    assert list(groups) == ["image 1", "image 1, effusion", "image 1, device"]
    effusion = groups["image 1, effusion"]
    assert codes(effusion, "Pleural effusion") == ["52101004"]
    assert items(effusion, "Pleural effusion")[0].ConceptNameCodeSequence[0].CodingSchemeDesignator == "SCT"
    values = [items(effusion, f"{name} of the finding")[0] for name in ("Score", "Operating point")]
    assert [float(each.MeasuredValueSequence[0].NumericValue) for each in values] == [0.91, 0.35]
    parameters = [item.TextValue for item in items(effusion, "Algorithm Parameters")]
    assert parameters == [
        f"model sha256 {'d' * 64}",
        "operating point 0.35",
        "operating point of the site: 2026-11 frontal",
    ]
    (source,) = items(effusion, "Source") + items(effusion, "Source of Measurement")
    assert source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.header.SOPInstanceUID
    assert codes(groups["image 1, device"], "Device") == ["52101004"]
    uids = [item.UID for item in items(report, "Tracking Unique Identifier")]
    assert len(set(uids)) == 3


@pytest.mark.parametrize(
    ("first", "second", "absent"),
    [
        (NEGATIVES, {}, 3),  # each image, and the study
        ((a_score("effusion", 0.9), NEGATIVES[1]), {}, 0),  # present elsewhere
        (NEGATIVES, {"tag": Tag.NOT_ASSESSED, "reasons": (Reason.OUT_OF_DISTRIBUTION,)}, 0),
    ],
)
def test_absent_is_said_only_where_the_card_means_it_and_every_image_was_assessed(
    spool: Spool, first: tuple[FindingScore, ...], second: dict[str, Any], absent: int
):
    add_image(spool, a_radiograph("1.2.3"), **scored(*first))
    add_image(spool, a_radiograph("1.2.3"), **scored(*NEGATIVES, **second))
    settle(spool, "1.2.3")
    report = built(spool, "1.2.3")

    assert codes(report, "Pleural effusion").count("272519000") == absent
    assert "272519000" not in codes(report, "Fracture")


def test_what_was_not_assessed_is_named_and_its_score_is_no_present(spool: Spool):
    refused = {"tag": Tag.NOT_ASSESSED, "reasons": (Reason.OUT_OF_DISTRIBUTION,)}
    report = built(
        spool, a_found_study(spool, (a_score("effusion", 0.97),), **scored(a_score("effusion", 0.97), **refused))
    )

    assert codes(report, "Pleural effusion") == ["not_assessed", "not_assessed"]
    assert ("Comment", "Not assessed: Effusion.") in of_study(report)


def test_a_report_of_a_study_without_findings_looked_for_nothing(spool: Spool):
    report = built(spool, a_study(spool, tag=Tag.NOT_ASSESSED, reasons=(Reason.UNDECODABLE,), model_id=None))

    assert of_study(report) == [
        ("Comment", "AI triage, unverified, of the frontal images."),
        ("Normality", "Normality Undetermined"),
        ("Reason", "Undecodable"),
        ("Urgency of findings", "Not assessed"),
        ("Comment", "Looked for: nothing."),
    ]


def test_a_record_of_an_earlier_release_has_the_report_of_it(spool: Spool):
    study = a_study(spool, tag=Tag.ABNORMAL)
    record = to_record(facts(spool, study).decision)
    for later in ("urgency", "findings", "order_priority"):
        del record[later]
    spool.write_decision(study, record)
    report = built(spool, study)

    assert of_study(report) == [("Normality", "Abnormal")]
    assert len(items(report, "Measurement Group")) == 1
    spool.write_decision(study, {**record, "tag": "NOT_ASSESSED", "reasons": ["undecodable"]})
    assert of_study(built(spool, study)) == [("Normality", "Normality Undetermined"), ("Reason", "Undecodable")]


def test_a_title_or_a_code_that_no_report_can_carry_is_replaced_by_our_name(spool: Spool):
    odd = a_score("effusion", 0.9, title="Ergüsse " * 20, point="Röntgen")
    report = built(spool, a_found_study(spool, (odd, a_score("fracture", 0.9, title="F" * 200, code=None))))

    assert items(report, "Pleural effusion")
    assert items(report, "F" * 64)
    assert ("Comment", f"Looked for: effusion (present), {'F' * 200} (present).") in of_study(report)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_other_programs_find_no_fault_with_it(spool: Spool, tmp_path: Path, document: str):
    for program in ("/usr/bin/dciodvfy", "/usr/bin/dsrdump"):
        if shutil.which(program) is None:
            pytest.skip(f"{program}: sudo apt-get install dcmtk dicom3tools")
    study = a_found_study(spool, (a_score("effusion", 0.9), *NEGATIVES[1:]), NEGATIVES)
    content = SRChannel(CHANNEL.peer, document).build(facts(spool, study)).payload
    path = tmp_path / "report.dcm"
    path.write_bytes(content)

    checked = subprocess.run(["/usr/bin/dciodvfy", str(path)], capture_output=True, text=True)
    assert not [line for line in checked.stderr.splitlines() if line.startswith("Error")], checked.stderr
    shown = subprocess.run(["/usr/bin/dsrdump", "+Pc", str(path)], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "Urgency of findings" in shown.stdout
    read = srread(BytesIO(content)) if document != "enhanced" else None
    if read is not None:  # highdicom reads no Enhanced SR
        found = [
            (
                str(group.tracking_identifier),
                [(str(e.name.meaning), e.value.meaning) for e in group.get_qualitative_evaluations()],
            )
            for group in read.content.get_image_measurement_groups()
        ]
        assert ("image 1, effusion", [("Pleural effusion", "Present")]) in found
        assert ("image 2, effusion", [("Pleural effusion", "Undetermined")]) in found
