"""The sample of RSNA's challenge: rows that may train, rows that are in no test set, and rows of one picture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.cohort_trees import picture, run, table
from training.prepare.rsna_sample import COLUMNS
from triage.validation.cohort.manifest import Row, read_manifest

OTHER = "No Lung Opacity / Not Normal"
ROWS = [
    ("full", "a", "Normal", 0, "PA", "51", ""),
    ("full", "b", "Lung Opacity", 1, "AP", "60", "folder/00000211_013.png"),
    ("full", "c", OTHER, 1, "AP", "12", ""),
    ("full", "d", OTHER, 1, "PA", "", ""),
    ("full", "e", "Normal", 0, "PA", "44", "elsewhere/Normal-5.png;folder/00000875_000.jpg"),
    ("lungs", "a", "Normal", 0, "PA", "51", ""),
    ("lungs", "f", OTHER, 1, "PA", "30", ""),
    ("lungs", "g", OTHER, 1, "PA", "30", "00000007_000.png"),
    ("lungs", "h", "Normal", 0, "PA", "3", ""),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "sample", ROWS)


def write_sample(folder: Path, rows: list[tuple[str, str, str, int, str, str, str]]) -> Path:
    """A folder as the sample's."""
    listed = []
    for kind, name, rsna_class, label, view, age, same_as in rows:
        place = "images" if kind == "full" else "lungs"
        picture(folder / place / f"{name}.jpg")
        listed.append((f"{place}/{name}.jpg", kind, name, rsna_class, label, view, age, "M", same_as))
    table(folder / "manifest.csv", COLUMNS, listed)
    return folder


def prepared(source: Path, out: Path, *arguments: object) -> dict[str, Row]:
    """Rows by the image's name."""
    result = run("prepare", "rsna-sample", "--source", source, "--out", out, "--allow-partial", *arguments)
    assert result.exit_code == 0, result.output
    return {row.image.stem: row for row in read_manifest(out)}


def test_whole_radiographs_of_adults_train(source: Path, tmp_path: Path) -> None:
    rows = prepared(source, tmp_path / "full.csv")
    assert {name: row.split for name, row in rows.items()} == {
        "a": "train",
        "b": "train",
        "c": "not-adult",
        "d": "not-adult",  # the age is unknown
        "e": "held-back",  # the picture is in a set that is no part of NIH's
    }
    assert (rows["b"].label, rows["b"].columns["rsna_class"], rows["b"].view) == (1, "Lung Opacity", "AP")
    everybody = prepared(source, tmp_path / "all.csv", "--ages", "all")
    assert {name for name, row in everybody.items() if row.split == "train"} == {"a", "b", "c", "d"}


def test_what_is_an_nih_image_has_its_name_and_its_patient(source: Path, tmp_path: Path) -> None:
    rows = prepared(source, tmp_path / "full.csv")
    assert (rows["b"].patient, rows["b"].columns["picture"]) == ("nih:211", "nih:00000211_013")
    assert (rows["a"].patient, rows["a"].columns["picture"]) == ("rsna:a", "rsna:a")


def test_lung_fields_of_a_picture_that_may_be_judged_are_set_apart(source: Path, tmp_path: Path) -> None:
    rows = prepared(source, tmp_path / "lungs.csv", "--kind", "lungs")
    assert {name: row.split for name, row in rows.items()} == {
        "a": "lungs-of-whole",  # among the whole ones
        "f": "lungs",
        "g": "lungs-of-whole",  # among NIH's
        "h": "not-adult",
    }


def test_a_class_and_a_label_that_do_not_agree_are_named(tmp_path: Path) -> None:
    source = write_sample(tmp_path / "sample", [("full", "a", "Normal", 1, "PA", "51", "")])
    result = run("prepare", "rsna-sample", "--source", source, "--out", tmp_path / "o.csv", "--allow-partial")
    assert "manifest.csv, line 2: class 'Normal' and label '1' do not agree" in result.output


def test_the_real_sample(triage_data: Path, tmp_path: Path) -> None:
    if not (triage_data / "rsna-pneumonia").is_dir():
        pytest.skip("TRIAGE_DATA has no rsna-pneumonia")
    whole = prepared(triage_data / "rsna-pneumonia", tmp_path / "full.csv", "--folds", "3")
    trained = [row for row in whole.values() if row.split == "train"]
    assert len(trained) == 1039 and all(row.age is not None and row.age >= 18 for row in trained)
    sizes = Counter((row.fold, row.columns["rsna_class"], row.view) for row in trained)
    for kind in {(row.columns["rsna_class"], row.view) for row in trained}:
        of_folds = [sizes[fold, *kind] for fold in range(3)]
        assert max(of_folds) - min(of_folds) <= 1
    sample = run("prepare", "nih-sample", "--source", triage_data / "nih-chestxray14", "--out", tmp_path / "nih.csv",
                 "--keep-paper-test", "--ages", "adults")  # fmt: skip
    assert sample.exit_code == 0, sample.output
    expert = read_manifest(tmp_path / "nih.csv")
    assert Counter(row.split for row in expert) == {"expert": 281, "not-adult": 17}
    pictures = {row.columns["picture"] for row in expert}
    assert sum(row.columns["picture"] in pictures for row in whole.values()) == 8
