"""A folder and a table of one's own."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.support.cohort_trees import picture, read, run, table
from triage.validation.cohort.manifest import public_patients, read_manifest
from triage.validation.cohort.provenance import read_provenance


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
    assert "no column PID; it has image, label" in result.output


def test_what_a_folder_holds_beside_is_counted_with_why(source: Path, tmp_path: Path) -> None:
    for name in ("clear/a.bmp", "clear/b.BMP", "finding/c.webp", "clear/IM0001", "finding/.d.png", "finding/e.png"):
        (source / name).write_bytes(b"" if name.endswith("e.png") else b"x")
    picture(source / "unsure" / "f.png")
    picture(source / "g.png")
    out = tmp_path / "own.csv"
    done = run("prepare", "folder", "--source", source, "--out", out, *CLASSES, "--each-image-a-patient")
    assert done.exit_code == 0, done.output
    said = [line.strip() for line in done.output.splitlines() if "passed over" in line]
    images = ".png, .jpg, .jpeg, .dcm"
    assert said == [
        "passed over: 1 file empty",
        "passed over: 1 file hidden",
        "passed over: 1 file in the folder itself, which is neither normal nor abnormal",
        "passed over: 1 file in unsure, which is neither normal nor abnormal",
        f"passed over: 2 files named .bmp, and images are {images}",
        f"passed over: 1 file named .webp, and images are {images}",
        "passed over: 1 file without a suffix",
    ]
    provenance = read_provenance(out)
    assert provenance is not None
    assert len(provenance.notes["passed over"]) == len(said)


def test_one_image_under_two_labels_is_refused_and_every_pair_is_named(source: Path, tmp_path: Path) -> None:
    for number in (0, 2):
        shutil.copy(source / "finding" / f"p{number // 4}_{number}.png", source / "clear" / f"again{number}.png")
    out = tmp_path / "own.csv"
    done = run("prepare", "folder", "--source", source, "--out", out, *CLASSES, "--each-image-a-patient")
    assert done.exit_code != 0
    assert done.output.count("hold the same bytes, under label 0 and 1") == 2
    assert not out.exists()


def test_one_image_in_two_splits_is_refused(source: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for kind in ("clear", "finding"):
            picture(tmp_path / "split" / split / kind / f"{split}-{kind}.png")
    shutil.copy(tmp_path / "split" / "train" / "clear" / "train-clear.png", tmp_path / "split" / "val" / "clear")
    done = run("prepare", "folder", "--source", tmp_path / "split", "--out", tmp_path / "o.csv", *CLASSES,
               "--each-image-a-patient", "--test", 0)  # fmt: skip
    assert done.exit_code != 0
    assert "same bytes, under split 'train' and 'val'" in done.output


def test_cells_of_a_table_that_say_nothing_known_are_counted(source: Path, tmp_path: Path) -> None:
    path = _table(
        source,
        ("clear/p0_1.png", "none", "A", "training", "pa", "nan", "female", "x", "north"),
        ("finding/p0_2.png", "some", "B", "test", "AP", "inf", "divers", "y", "south"),
        ("finding/p1_4.png", "some", "C", "test", "AP", "", "", "y", "south"),
    )
    done = run("prepare", "table", "--source", path, "--out", tmp_path / "o.csv", *MAPPED)
    assert done.exit_code == 0, done.output
    assert "passed over: 2 cells of Age" in done.output
    assert "passed over: 1 cells of Sex" in done.output


def test_a_table_none_of_whose_images_is_there_says_that(source: Path, tmp_path: Path) -> None:
    path = _table(source, (r"C:\\data\\x.png", "none", "A", "training", "pa", "", "", "", ""))
    done = run("prepare", "table", "--source", path, "--out", tmp_path / "o.csv", *MAPPED)
    assert done.exit_code != 0
    assert "1 files are missing or empty" in done.output
    assert "write its paths with /" in done.output
