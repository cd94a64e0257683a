"""RSNA's challenge: its two tables, a split of the paper's sizes, and whose patients they are."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.support.cohort_trees import RSNA_KINDS, read, rsna, rsna_image, run, table
from training.prepare import splits
from training.prepare.rsna import COUNTS, TEST
from triage.validation.cohort.manifest import Row, read_manifest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return rsna(tmp_path / "rsna")


def _prepare(source: Path, out: Path, *arguments: object) -> str:
    return run("prepare", "rsna", "--source", source, "--out", out, "--allow-partial", *arguments).output


def test_normal_against_abnormal(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "rsna.csv"
    _prepare(source, out, "--crosswalk", source / "crosswalk.csv")
    rows = read_manifest(out)
    assert len(rows) == 60
    assert {(row.columns["class"], row.label) for row in rows} == set(zip(RSNA_KINDS, (0, 1, 1), strict=True))
    first = next(row for row in rows if row.columns["rsna_patient"] == "id-001")
    assert (first.patient, first.view, first.age, first.sex) == ("nih:1", "AP", 51.0, "F")
    assert first.columns["boxes"] == "2"


def test_normal_against_opacity_has_the_same_normals_in_its_test(source: Path, tmp_path: Path) -> None:
    _prepare(source, tmp_path / "a.csv", "--crosswalk", source / "crosswalk.csv")
    _prepare(source, tmp_path / "o.csv", "--crosswalk", source / "crosswalk.csv", "--task", "opacity")
    abnormal, opacity = read_manifest(tmp_path / "a.csv"), read_manifest(tmp_path / "o.csv")
    assert {row.columns["class"] for row in opacity} == {"Normal", "Lung Opacity"}

    def test_of(rows: list[Row]) -> set[str]:
        return {row.image.name for row in rows if row.split == "test" and row.columns["class"] != RSNA_KINDS[2]}

    assert test_of(abnormal) == test_of(opacity) != set()


def test_the_split_is_by_nih_patient_and_does_not_depend_on_which_files_are_there(source: Path, tmp_path: Path) -> None:
    _prepare(source, tmp_path / "all.csv", "--crosswalk", source / "crosswalk.csv")
    split_of = {row.image.name: row.split for row in read_manifest(tmp_path / "all.csv")}
    assert {"train", "val", "test"} == set(split_of.values())
    for name in ("id-000.dcm", "id-007.dcm", "id-031.dcm"):
        (source / "stage_2_train_images" / name).unlink()
    _prepare(source, tmp_path / "some.csv", "--crosswalk", source / "crosswalk.csv")
    some = {row.image.name: row.split for row in read_manifest(tmp_path / "some.csv")}
    assert len(some) == 57
    assert some.items() <= split_of.items()


def test_without_a_crosswalk_it_says_that_patients_are_unknown(source: Path, tmp_path: Path) -> None:
    refused = run("prepare", "rsna", "--source", source, "--out", tmp_path / "r.csv", "--allow-partial")
    assert refused.exit_code != 0
    assert "pneumonia-challenge-dataset-mappings_2018.json" in refused.output
    assert "names an image, not a patient" in _prepare(source, tmp_path / "r.csv", "--each-image-a-patient")
    assert all(row["patient"].startswith("rsna:id-") for row in read(tmp_path / "r.csv"))


def test_rsnas_own_mapping_is_read(source: Path, tmp_path: Path) -> None:
    mapping = [
        {"subset_img_id": row["rsna_patient"], "img_id": row["nih_image"], "orig_labels": ["Mass"]}
        for row in read(source / "crosswalk.csv")
    ]
    (source / "mapping.json").write_text(json.dumps(mapping))
    _prepare(source, tmp_path / "json.csv", "--crosswalk", source / "mapping.json")
    _prepare(source, tmp_path / "csv.csv", "--crosswalk", source / "crosswalk.csv")
    assert read(tmp_path / "json.csv") == read(tmp_path / "csv.csv")


def test_stage_1_has_its_own_tables_and_may_lie_beside_stage_2(source: Path, tmp_path: Path) -> None:
    for name in ("detailed_class_info", "train_labels"):
        lines = (source / f"stage_2_{name}.csv").read_text().splitlines(keepends=True)
        (source / f"stage_1_{name}.csv").write_text("".join(line for line in lines if not line.startswith("id-05")))
    output = _prepare(source, tmp_path / "r.csv", "--each-image-a-patient", "--stage", "1")
    assert len(read(tmp_path / "r.csv")) == 50
    assert "1,000 more" not in output
    (source / "stage_1_train_images").mkdir()
    rsna_image(source / "stage_1_train_images" / "id-000.dcm", "id-000")
    _prepare(source, tmp_path / "r.csv", "--each-image-a-patient", "--stage", "1")
    assert len(read(tmp_path / "r.csv")) == 1


def test_an_image_that_the_crosswalk_lacks_is_named(source: Path, tmp_path: Path) -> None:
    table(source / "short.csv", ("rsna_patient", "nih_image"), [("id-000", "00000001_000.png")])
    output = _prepare(source, tmp_path / "r.csv", "--crosswalk", source / "short.csv")
    assert "stage_2_detailed_class_info.csv, line 3: id-001 is not in the crosswalk" in output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id-000,Normal", "id-000,Fine", "line 2: class 'Fine' is none of"),
        ("id-000,Normal", "id-000,Lung Opacity", "line 2: id-000 is 'Lung Opacity' with 0 boxes"),
        ("id-000,Normal", "id-999,Normal", "line 2: id-999 is not in stage_2_train_labels.csv"),
    ],
)
def test_a_row_that_cannot_be_is_named(source: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    path = source / "stage_2_detailed_class_info.csv"
    path.write_text(path.read_text().replace(old, new))
    assert message in _prepare(source, tmp_path / "r.csv", "--each-image-a-patient")


def test_a_file_under_anothers_name_is_refused(source: Path, tmp_path: Path) -> None:
    images = source / "stage_2_train_images"
    (images / "id-004.dcm").write_bytes((images / "id-005.dcm").read_bytes())
    output = _prepare(source, tmp_path / "r.csv", "--each-image-a-patient")
    assert "id-004.dcm holds an image of another patientId" in output


def test_a_file_that_is_no_dicom_is_named(source: Path, tmp_path: Path) -> None:
    (source / "stage_2_train_images" / "id-004.dcm").write_text("not found")
    assert "id-004.dcm is not a DICOM file" in _prepare(source, tmp_path / "r.csv", "--each-image-a-patient")


def test_view_age_and_sex_are_read_from_a_real_file(source: Path, tmp_path: Path, triage_data: Path) -> None:
    patient = "16d7f894-55d7-4d95-8957-d18987f0e981"
    for name in ("detailed_class_info", "train_labels"):
        path = source / f"stage_2_{name}.csv"
        path.write_text(path.read_text().replace("id-001", patient))
    real = triage_data / "dicom" / "cr-dx-chest" / "rsna_sample.dcm"
    (source / "stage_2_train_images" / f"{patient}.dcm").symlink_to(real)
    _prepare(source, tmp_path / "r.csv", "--each-image-a-patient")
    (row,) = (row for row in read_manifest(tmp_path / "r.csv") if row.patient == f"rsna:{patient}")
    assert (row.view, row.age, row.sex, row.label) == ("PA", 62.0, "M", 1)


def test_the_papers_sizes_come_out_exactly_of_patients_with_several_images() -> None:
    random = np.random.default_rng(7)
    kinds = random.permutation([str(kind) for kind, number in COUNTS["1"].items() for _ in range(number)])
    patients = np.repeat(np.arange(len(kinds)), random.geometric(0.5, len(kinds)))  # half have one, some have ten
    rows = [
        Row(Path(str(number)), 0, f"nih:{patients[number]}", "train", columns={"class": str(kind)})
        for number, kind in enumerate(kinds)
    ]
    drawn = splits.hold_out(rows, TEST, 2020, "test", stratum=lambda row: row.columns["class"])
    assert Counter(row.columns["class"] for row in drawn if row.split == "test") == Counter(TEST)
    test = {row.patient for row in drawn if row.split == "test"}
    assert not test & {row.patient for row in drawn if row.split == "train"}


def test_the_published_counts_are_the_papers() -> None:
    assert sum(COUNTS["1"].values()) == 25_684
    assert sum(COUNTS["2"].values()) == 26_684
    train = {kind: COUNTS["1"][kind] - number for kind, number in TEST.items()}
    assert train["Normal"] == 6993
    assert train["Lung Opacity"] == 4659
    assert sum(train.values()) - train["Normal"] == 14_159
