"""Open-i: reports, projections and images of any form joined; the MeSH definitions; the published draw."""

from __future__ import annotations

import tarfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.cohort_trees import picture, read, report, run, table
from training.prepare.indiana import image_key
from triage.report_labeller import mesh
from triage.report_labeller.reports import read_reports
from triage.validation.cohort.manifest import read_manifest
from triage.validation.cohort.provenance import read_provenance

MESH = {
    1: ["normal"],
    2: ["Catheters, Indwelling/right"],
    3: ["Opacity/lung/base/left"],
    4: ["No Indexing"],
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "indiana"
    rows = []
    for number, majors in MESH.items():
        path = root / "ecgen-radiology" / f"{number}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report(number, majors))
        for view, projection in ((1001, "Frontal"), (2001, "Lateral")):
            rows.append((number, f"{number}_IM-000{number}-{view}.dcm.png", projection))
            picture(root / "images_normalized" / f"{number}_IM-000{number}-{view}.dcm.png")
    table(root / "indiana_projections.csv", ("uid", "filename", "projection"), rows)
    return root


def _prepare(source: Path, out: Path, *arguments: object) -> str:
    return run("prepare", "indiana", "--source", source, "--out", out, "--allow-partial", *arguments).output


def _labels(out: Path) -> dict[str, int]:
    return {row.patient: row.label for row in read_manifest(out)}


def test_strict_and_cardiopulmonary_definitions_differ_in_a_device(source: Path, tmp_path: Path) -> None:
    _prepare(source, tmp_path / "s.csv")
    _prepare(source, tmp_path / "c.csv", "--labels", "cardiopulmonary")
    assert _labels(tmp_path / "s.csv") == {"indiana:1": 0, "indiana:2": 1, "indiana:3": 1}
    assert _labels(tmp_path / "c.csv") == {"indiana:1": 0, "indiana:2": 0, "indiana:3": 1}
    assert {row["view"] for row in read(tmp_path / "s.csv")} == {"FRONTAL"}


def test_the_view_of_every_image_for_the_view_classifier(source: Path, tmp_path: Path) -> None:
    _prepare(source, tmp_path / "v.csv", "--labels", "view")
    assert Counter((row["view"], row["label"]) for row in read(tmp_path / "v.csv")) == {
        ("FRONTAL", "0"): 4,
        ("LATERAL", "1"): 4,
    }


@pytest.mark.parametrize(("corrected", "label"), [("", 0), (1, 1)])
def test_a_report_without_codes_gets_the_rules_label_and_a_persons_before_it(
    source: Path, tmp_path: Path, corrected: object, label: int
) -> None:
    labels = table(tmp_path / "labels.csv", ("report", "label", "corrected"), [(4, 0, corrected)])
    _prepare(source, tmp_path / "s.csv", "--report-labels", labels)
    assert _labels(tmp_path / "s.csv") == {"indiana:1": 0, "indiana:2": 1, "indiana:3": 1, "indiana:4": label}


def test_a_persons_label_goes_before_the_codes_and_the_rules_does_not(source: Path, tmp_path: Path) -> None:
    labels = table(tmp_path / "labels.csv", ("report", "label", "corrected"), [(1, 1, ""), (2, 1, 0)])
    _prepare(source, tmp_path / "s.csv", "--report-labels", labels)
    assert _labels(tmp_path / "s.csv") == {"indiana:1": 0, "indiana:2": 0, "indiana:3": 1}


def test_labels_of_another_definition_are_refused(source: Path, tmp_path: Path) -> None:
    run("label-reports", source / "ecgen-radiology", "--out", tmp_path / "labels.csv")
    arguments = ("--report-labels", tmp_path / "labels.csv", "--labels")
    assert "line 2: the labels are by the definition strict, and cardiopulmonary is asked for" in _prepare(
        source, tmp_path / "s.csv", *arguments, "cardiopulmonary"
    )
    assert "the view comes from the table of projections" in _prepare(source, tmp_path / "s.csv", *arguments, "view")
    _prepare(source, tmp_path / "s.csv", *arguments, "strict")
    assert _labels(tmp_path / "s.csv") == {"indiana:1": 0, "indiana:2": 1, "indiana:3": 1}


def test_a_projection_that_is_none_is_named(source: Path, tmp_path: Path) -> None:
    path = source / "indiana_projections.csv"
    path.write_text(path.read_text().replace("Lateral", "Oblique", 1))
    assert "line 3: projection 'Oblique' is not Frontal or Lateral" in _prepare(source, tmp_path / "s.csv")


def test_an_image_of_a_report_that_is_not_there_is_named(source: Path, tmp_path: Path) -> None:
    (source / "ecgen-radiology" / "3.xml").unlink()
    assert "line 6: report 3 is not among the reports" in _prepare(source, tmp_path / "s.csv")


@pytest.mark.parametrize(
    "name",
    ["1_IM-0001-4001.dcm.png", "CXR1_1_IM-0001-4001.png", "CXR1_IM-0001-4001.png", "1_IM-0001-4001.dcm"],
)
def test_every_published_name_of_an_image_is_the_same_image(name: str) -> None:
    assert image_key(name) == "1_IM-0001-4001"


def test_reports_are_read_from_an_archive(source: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "r.tgz", "w:gz") as archive:
        data = report(7, ["normal"], impression="Normal chest.").encode()
        member = tarfile.TarInfo("ecgen-radiology/7.xml")
        member.size = len(data)
        archive.addfile(member, BytesIO(data))
    (read_report,) = read_reports(tmp_path / "r.tgz")
    assert (read_report.identifier, read_report.impression, read_report.mesh) == ("7", "Normal chest.", ("normal",))


@pytest.mark.parametrize(
    ("majors", "strict", "cardiopulmonary"),
    [
        (["normal"], 0, 0),
        (["No Indexing"], None, None),
        (["Technical Quality of Image Unsatisfactory"], None, None),
        (["Fractures, Bone/ribs/left/healed"], 1, 0),
        (["Fractures, Bone/ribs/left"], 1, 1),
        (["Implanted Medical Device", "Cardiomegaly/mild"], 1, 1),
        (["Aorta/tortuous/mild"], 1, 0),
        (["Aorta/enlarged"], 1, 1),
        (["Calcinosis/aorta"], 1, 0),
        (["Calcinosis/lung/hilum/lymph nodes"], 1, 1),
        (["Deformity/thoracic vertebrae"], 1, 0),
        (["Lung/hypoinflation/mild"], 1, 0),
        (["Lung/hyperdistention"], 1, 1),
        (["Nodule/breast"], 1, 0),
        (["Mass/breast"], 1, 1),
        (["A heading that is unknown"], 1, 1),
    ],
)
def test_the_two_definitions(majors: list[str], strict: int | None, cardiopulmonary: int | None) -> None:
    assert mesh.label(majors, mesh.STRICT) == strict
    assert mesh.label(majors, mesh.CARDIOPULMONARY) == cardiopulmonary


@pytest.fixture(scope="module")
def whole(triage_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real tables, and a byte for each frontal image: preparing looks at names and sizes."""
    root = tmp_path_factory.mktemp("indiana")
    for name in ("indiana_projections.csv", "NLMCXR_reports.tgz"):
        (root / name).symlink_to(triage_data / "indiana" / name)
    for row in read(root / "indiana_projections.csv"):
        if row["projection"] == "Frontal":
            (root / row["filename"]).write_bytes(b"x")
    return root


@pytest.mark.parametrize("labels", mesh.DEFINITIONS)
def test_the_whole_cohort_is_prepared_in_the_published_draw(whole: Path, tmp_path: Path, labels: str) -> None:
    out = tmp_path / "i.csv"
    result = run("prepare", "indiana", "--source", whole, "--out", out, "--labels", labels)
    assert result.exit_code == 0, result.output
    provenance = read_provenance(out)
    assert provenance is not None
    assert not provenance.partial
    assert provenance.counts["test"] == {"normal": 216, "abnormal": 216}
    assert sum(sum(numbers.values()) for numbers in provenance.counts.values()) == 3720
    assert provenance.notes["frontal images left out, report without a label"] == 98


def test_the_draw_does_not_depend_on_which_files_are_there(triage_data: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    some.mkdir()
    for name in ("indiana_projections.csv", "NLMCXR_reports.tgz"):
        (some / name).symlink_to(triage_data / "indiana" / name)
    (some / "1_IM-0001-4001.dcm.png").write_bytes(b"x")
    output = _prepare(some, tmp_path / "s.csv")
    assert "NOT AS PUBLISHED" not in output
    assert "test images labelled 0: 216 (as published)" in output
    assert _labels(tmp_path / "s.csv") == {"indiana:1": 0}


def test_the_real_reports_labels(triage_data: Path) -> None:
    reports = read_reports(triage_data / "indiana" / "NLMCXR_reports.tgz")
    assert len(reports) == 3955
    found = Counter(tuple(mesh.label(report.mesh, each) for each in mesh.DEFINITIONS) for report in reports)
    assert found == {(0, 0): 1391, (1, 0): 581, (1, 1): 1882, (None, None): 101}
