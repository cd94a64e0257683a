"""A folder and a table of one's own."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.support.cohort_trees import picture, read, run, table
from triage.validation.cohort.manifest import public_patients, read_manifest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(40):
        kind = "clear" if number % 2 else "finding"
        picture(tmp_path / "own" / kind / f"p{number // 4}_{number}.png")
    return tmp_path / "own"


CLASSES = ("--normal", "clear", "--abnormal", "finding")


def test_a_folder_is_split_by_the_patient_in_its_names(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.csv"
    result = run("prepare", "folder", "--source", source, "--out", out, *CLASSES, "--patient-pattern", r"^(\w+?)_",
                 "--name", "clinic", "--test", 0.3, "--validation", 0.3)  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = read_manifest(out)
    assert Counter(row.label for row in rows) == {0: 20, 1: 20}
    sides = defaultdict(set)
    for row in rows:
        sides[row.patient].add(row.split)
    assert {len(found) for found in sides.values()} == {1}
    assert set.union(*sides.values()) == {"train", "val", "test"}
    assert "clinic:p0" in sides
    assert public_patients(rows) == ()


def test_a_folder_keeps_a_split_that_it_has(source: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for kind in ("clear", "finding"):
            picture(tmp_path / "split" / split / kind / f"{split}-{kind}.png")
    run("prepare", "folder", "--source", tmp_path / "split", "--out", tmp_path / "o.csv", *CLASSES,
        "--each-image-a-patient", "--validation", 0)  # fmt: skip
    assert Counter(row["split"] for row in read(tmp_path / "o.csv")) == {"train": 2, "test": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say with --patient-pattern"),
        (("--patient-pattern", "p"), "must have one group"),
        (("--patient-pattern", "("), "is no regular expression"),
        (("--patient-pattern", r"^(q\d+)"), "finds no patient in this name"),
        (("--each-image-a-patient", "--name", "nih"), "none of nih, rsna"),
        (("--each-image-a-patient", "--normal", "healthy"), "below own are clear, finding"),
    ],
)
def test_a_folder_that_cannot_be_read_as_asked(
    source: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run("prepare", "folder", "--source", source, "--out", tmp_path / "o.csv", *CLASSES, *arguments)
    assert result.exit_code != 0
    assert message in result.output.replace(str(source), "own")


COLUMNS = ("Path", "Finding", "PID", "Part", "View", "Age", "Sex", "age", "Site")
MAPPED = ("--image-column", "Path", "--label-column", "Finding", "--patient-column", "PID", "--split-column", "Part",
          "--view-column", "View", "--age-column", "Age", "--sex-column", "Sex", "--normal", "none", "--abnormal",
          "some", "--validation", "0")  # fmt: skip


def _table(source: Path, *rows: tuple[object, ...]) -> Path:
    return table(source / "table.csv", COLUMNS, rows)


def test_a_table_is_mapped_by_its_columns(source: Path, tmp_path: Path) -> None:
    path = _table(
        source,
        ("clear/p0_1.png", "none", "A", "training", "pa", "041Y", "female", "x", "north"),
        ("finding/p0_2.png", "some", "B", "test", "AP", "", "?", "y", "south"),
    )
    result = run("prepare", "table", "--source", path, "--out", tmp_path / "o.csv", *MAPPED)
    assert result.exit_code == 0, result.output
    first, second = read_manifest(tmp_path / "o.csv")
    assert (first.label, first.patient, first.split, first.view, first.age, first.sex) == (
        0, "own:A", "train", "PA", 41.0, "F",
    )  # fmt: skip
    assert (second.label, second.split, second.age, second.sex) == (1, "test", None, "")
    assert first.columns == {"own_age": "x", "Site": "north"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({1: "perhaps"}, "line 3: Finding 'perhaps' is none of none, some"),
        ({2: ""}, "line 3: PID is empty"),
        ({3: "later"}, "line 3: Part 'later' is none of"),
        ({0: "clear/p0_1.png"}, "line 3: clear/p0_1.png is in"),
        ({2: "A"}, "the patient of this row is in split 'test' here and in 'train' in line 2"),
        ({0: "clear/absent.png"}, "1 files are missing or empty: clear/absent.png. Say with --images"),
    ],
)
def test_a_row_that_is_wrong_is_named_without_naming_the_patient(
    source: Path, tmp_path: Path, changed: dict[int, str], message: str
) -> None:
    wrong = ["finding/p0_2.png", "some", "B", "test", "AP", "50", "M", "", ""]
    for column, value in changed.items():
        wrong[column] = value
    path = _table(source, ("clear/p0_1.png", "none", "A", "train", "PA", "41", "F", "", ""), tuple(wrong))
    result = run("prepare", "table", "--source", path, "--out", tmp_path / "o.csv", *MAPPED)
    assert result.exit_code != 0
    assert message in result.output


def test_a_column_that_is_not_there_is_named(source: Path, tmp_path: Path) -> None:
    path = table(source / "t.csv", ("image", "label"), [("clear/p0_1.png", 0)])
    result = run("prepare", "table", "--source", path, "--out", tmp_path / "o.csv", "--patient-column", "PID")
    assert "has no column PID; it has image, label" in result.output
