"""NIH ChestX-ray14: the paper's lists joined to NIH's table and to the images, and the sample."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.support.cohort_trees import nih, picture, read, run
from training.prepare import nih_table, tang
from training.prepare.cohort import PrepareError
from triage.validation.cohort.manifest import read_manifest
from triage.validation.cohort.provenance import read_provenance


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return nih(tmp_path / "nih")


def test_lists_table_and_images_become_one_manifest(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "nih.csv"
    result = run("prepare", "nih", "--source", source, "--out", out, "--allow-partial")
    assert result.exit_code == 0, result.output
    rows = {row.image.name: row for row in read_manifest(out)}
    assert {name: (row.split, row.label) for name, row in rows.items()} == {
        "00000001_000.png": ("train", 1),
        "00000001_001.png": ("train", 0),
        "00000002_000.png": ("val", 1),
        "00000003_000.png": ("test", 1),
        "00000004_000.png": ("test", 1),
    }
    first = rows["00000001_001.png"]
    assert (first.patient, first.view, first.age, first.sex) == ("nih:1", "PA", 51.0, "M")
    assert rows["00000003_000.png"].columns["label_attending"] == "0"


def test_test_labels_choose_the_attendings(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "nih.csv"
    run("prepare", "nih", "--source", source, "--out", out, "--allow-partial", "--test-labels", "attending")
    labels = {row["image"][-16:]: row["label"] for row in read(out) if row["split"] == "test"}
    assert labels == {"00000003_000.png": "0", "00000004_000.png": "1"}


def test_counts_that_differ_are_refused_and_allowed_only_by_name(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "nih.csv"
    result = run("prepare", "nih", "--source", source, "--out", out)
    assert result.exit_code != 0
    assert "images in NIH's table: 6, published are 112120" in result.output
    assert not out.exists()


def test_a_missing_image_is_named_and_left_out(source: Path, tmp_path: Path) -> None:
    (source / "images_001" / "images" / "00000002_000.png").unlink()
    (source / "images_002" / "images" / "00000001_001.png").write_bytes(b"")  # a download that broke off
    out = tmp_path / "nih.csv"
    result = run("prepare", "nih", "--source", source, "--out", out)
    assert "2 files are missing or empty: 00000001_001.png, 00000002_000.png. Unpack all twelve" in result.output
    run("prepare", "nih", "--source", source, "--out", out, "--allow-partial")
    assert len(read_manifest(out)) == 3
    provenance = read_provenance(out)
    assert provenance is not None
    assert (provenance.partial, provenance.missing) == (True, 2)
    assert provenance.missing_first == ("00000001_001.png", "00000002_000.png")


def test_a_patient_in_two_lists_is_an_error_whatever_is_allowed(source: Path, tmp_path: Path) -> None:
    (source / "val.txt").write_text("00000004_001.png 1\n")
    result = run("prepare", "nih", "--source", source, "--out", tmp_path / "nih.csv", "--allow-partial")
    assert result.exit_code != 0
    assert "are of one patient; splits must be by patient" in result.output


def test_a_bad_line_of_a_list_is_named(source: Path, tmp_path: Path) -> None:
    (source / "train.txt").write_text("00000001_000.png 1\n00000001_001.png maybe\n")
    result = run("prepare", "nih", "--source", source, "--out", tmp_path / "nih.csv", "--allow-partial")
    assert "train.txt, line 2: '00000001_001.png maybe'" in result.output


def test_a_row_of_the_table_with_anothers_patient_is_named(source: Path, tmp_path: Path) -> None:
    path = source / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("0,2,52", "0,7,52"))
    result = run("prepare", "nih", "--source", source, "--out", tmp_path / "nih.csv", "--allow-partial")
    assert "line 4: 00000002_000.png is not an image of patient 7" in result.output


def test_an_image_that_is_there_twice_is_refused(source: Path, tmp_path: Path) -> None:
    picture(source / "copy" / "00000002_000.png")
    result = run("prepare", "nih", "--source", source, "--out", tmp_path / "nih.csv", "--allow-partial")
    assert "are the same image by name" in result.output


def test_the_table_may_be_gzipped_and_folds_are_by_patient(source: Path, tmp_path: Path) -> None:
    path = source / "Data_Entry_2017_v2020.csv"
    (source / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    out = tmp_path / "nih.csv"
    run("prepare", "nih", "--source", source, "--out", out, "--allow-partial", "--folds", 2)
    folds = {row.patient: row.fold for row in read_manifest(out) if row.split != "test"}
    assert sorted(fold for fold in folds.values() if fold is not None) == [0, 1]


def test_the_manifest_says_what_the_paper_counts(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "nih.csv"
    run("prepare", "nih", "--source", source, "--out", out, "--allow-partial")
    record = json.loads((tmp_path / "nih.csv.json").read_text())
    assert any("11,596" in warning and "11,624" in warning for warning in record["warnings"])
    assert "Wang et al. 2017" in record["terms"]
    assert str(tmp_path) not in json.dumps(record)


def test_the_published_lists_hold_what_the_paper_published(triage_data: Path) -> None:
    lists = tang.read_lists(triage_data / "nih-tang-splits")
    assert all(check.holds for check in lists.checks())
    assert len(lists.split_of()) == 8574 + 1706 + 1344
    assert len(lists.test_patients()) == 895


def test_the_published_lists_join_nihs_table(triage_data: Path) -> None:
    entries = nih_table.read_entries(triage_data / "nih-chestxray14")
    assert all(check.holds for check in nih_table.checks(entries))
    split_of = tang.read_lists(triage_data / "nih-tang-splits").split_of()
    patients = {split: {entries[name].patient for name, its in split_of.items() if its == split} for split in
                ("train", "val", "test")}  # fmt: skip
    assert [len(patients[split]) for split in ("train", "val", "test")] == [6151, 1146, 895]
    assert not patients["train"] & patients["test"]
    assert not patients["val"] & (patients["train"] | patients["test"])


def test_the_whole_cohort_is_prepared_without_a_complaint(triage_data: Path, tmp_path: Path) -> None:
    """Preparing looks at names and sizes, so a byte stands for each of the 11,624 images."""
    source = tmp_path / "nih"
    (source / "images_001" / "images").mkdir(parents=True)
    table = "Data_Entry_2017_v2020.csv.gz"
    (source / table).symlink_to(triage_data / "nih-chestxray14" / table)
    lists = triage_data / "nih-tang-splits"
    for name in tang.read_lists(lists).split_of():
        (source / "images_001" / "images" / name).write_bytes(b"x")
    result = run("prepare", "nih", "--source", source, "--lists", lists, "--out", tmp_path / "n.csv", "--folds", 7)
    assert result.exit_code == 0, result.output
    provenance = read_provenance(tmp_path / "n.csv")
    assert provenance is not None
    assert not provenance.partial
    assert provenance.counts == {
        "train": {"normal": 4261, "abnormal": 4313},
        "val": {"normal": 849, "abnormal": 857},
        "test": {"normal": 691, "abnormal": 653},
    }
    rows = [row for row in read_manifest(tmp_path / "n.csv") if row.split != "test"]
    sizes = Counter(row.fold for row in rows)
    assert set(sizes) == set(range(7))
    assert max(sizes.values()) - min(sizes.values()) < 20


def _sample(triage_data: Path, out: Path, *arguments: str) -> str:
    result = run("prepare", "nih-sample", "--source", triage_data / "nih-chestxray14", "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_sample_leaves_out_the_papers_test_patients(triage_data: Path, tmp_path: Path) -> None:
    _sample(triage_data, tmp_path / "text.csv", "--part", "text")
    rows = read_manifest(tmp_path / "text.csv")
    assert len(rows) == 942 - 27
    held_out = tang.read_lists(triage_data / "nih-tang-splits").test_patients()
    assert not {row.patient for row in rows} & {f"nih:{number}" for number in held_out}
    assert {row.split for row in rows} == {"train", "val"}


def test_the_samples_expert_part_keeps_its_folds_and_says_when_it_keeps_test_patients(
    triage_data: Path, tmp_path: Path
) -> None:
    output = _sample(triage_data, tmp_path / "expert.csv", "--part", "expert", "--keep-paper-test")
    rows = read_manifest(tmp_path / "expert.csv")
    assert (len(rows), sum(row.label for row in rows)) == (298, 201)
    assert {(row.split, row.fold) for row in rows} == {("expert", fold) for fold in range(5)}
    assert "nothing that was trained on this may be compared" in output


def test_both_parts_of_the_sample_train_on_text_and_test_on_expert(triage_data: Path, tmp_path: Path) -> None:
    _sample(triage_data, tmp_path / "both.csv", "--part", "both", "--expert", "test", "--validation", "0")
    rows = read_manifest(tmp_path / "both.csv")
    assert {(row.columns["part"], row.split, row.fold) for row in rows} == {
        ("text", "train", None),
        ("expert", "test", None),
    }


def test_the_sample_is_not_prepared_without_the_lists(tmp_path: Path) -> None:
    columns = "image,patient,age,sex,view,findings,split,text_label,rsna_class,rsna_label,expert_fold\n"
    (tmp_path / "nih").mkdir()
    (tmp_path / "nih" / "manifest.csv").write_text(columns)
    result = run("prepare", "nih-sample", "--source", tmp_path / "nih", "--out", tmp_path / "out.csv")
    assert "nih-tang-splits is not there" in result.output


def test_lists_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match=r"holds no train\.txt"):
        tang.read_lists(tmp_path)


def _official_lists(source: Path) -> None:
    names = [f"0000000{patient}_00{number}.png" for patient, number in ((1, 0), (1, 1), (2, 0), (3, 0), (4, 0), (4, 1))]
    (source / "train_val_list.txt").write_text("\n".join(names[:4]))
    (source / "test_list.txt").write_text("\n".join(names[4:]))


def test_all_of_nih_keeps_nihs_split_and_leaves_out_the_papers_test_patients(source: Path, tmp_path: Path) -> None:
    _official_lists(source)
    arguments = ("--source", source, "--allow-partial", "--validation", 0)
    run("prepare", "nih-all", "--out", tmp_path / "kept.csv", *arguments, "--keep-paper-test")
    kept = read_manifest(tmp_path / "kept.csv")
    assert [(row.image.name, row.split, row.label) for row in kept] == [
        ("00000001_000.png", "train", 1),
        ("00000001_001.png", "train", 0),
        ("00000002_000.png", "train", 1),
        ("00000003_000.png", "train", 0),
        ("00000004_000.png", "test", 1),
        ("00000004_001.png", "test", 0),
    ]
    run("prepare", "nih-all", "--out", tmp_path / "left.csv", *arguments)
    assert {row.patient for row in read_manifest(tmp_path / "left.csv")} == {"nih:1", "nih:2"}


def test_all_of_nih_names_an_image_in_neither_list(source: Path, tmp_path: Path) -> None:
    _official_lists(source)
    (source / "test_list.txt").write_text("00000004_000.png")
    result = run("prepare", "nih-all", "--source", source, "--out", tmp_path / "o.csv", "--allow-partial")
    assert "00000004_001.png and 0 more of NIH's table are in neither of its lists" in result.output
