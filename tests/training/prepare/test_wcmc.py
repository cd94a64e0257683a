"""WCMC pediatric: the official split, persons from file names, and validation by bare person."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.cohort_trees import picture, run
from training.prepare.wcmc import parse_name
from triage.validation.cohort.manifest import read_manifest
from triage.validation.cohort.provenance import read_provenance


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "download"
    for number in range(20):
        picture(root / "chest_xray/train/PNEUMONIA" / f"person{number}_virus_{number}.jpeg")
        picture(root / "chest_xray/train/PNEUMONIA" / f"person{number}_bacteria_{100 + number}.jpeg")
        picture(root / "chest_xray/train/NORMAL" / f"IM-{number:04}-0001.jpeg")
    picture(root / "chest_xray/val/PNEUMONIA/person1946_bacteria_4874.jpeg")
    picture(root / "chest_xray/val/NORMAL/NORMAL2-IM-1427-0001.jpeg")
    picture(root / "chest_xray/test/PNEUMONIA/person100_virus_184.jpeg")
    picture(root / "chest_xray/test/NORMAL/NORMAL2-IM-0007-0001.jpeg")
    (root / "chest_xray/test/NORMAL/.DS_Store").write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    return root


def _prepare(source: Path, out: Path, *arguments: object) -> str:
    return run("prepare", "wcmc", "--source", source, "--out", out, *arguments).output


def test_the_official_split_with_validation_carved_by_bare_person(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "wcmc.csv"
    _prepare(source, out, "--allow-partial", "--validation", 0.3, "--folds", 3)
    rows = read_manifest(out)
    assert {row.columns["official_split"] for row in rows if row.split == "test"} == {"test"}
    assert {row.columns["official_split"] for row in rows if row.split != "test"} == {"train", "val"}
    sides, folds = defaultdict(set), defaultdict(set)
    for row in rows:
        if row.split != "test":
            sides[row.columns["person"]].add(row.split)
            folds[row.columns["person"]].add(row.fold)
    assert {len(found) for found in sides.values()} == {1}
    assert {len(found) for found in folds.values()} == {1}
    assert {row.split for row in rows} == {"train", "val", "test"}
    assert next(row for row in rows if "person7_virus" in row.image.name).patient == "wcmc:person7-virus"


def test_the_standing_warning_is_written_beside_the_manifest(source: Path, tmp_path: Path) -> None:
    _prepare(source, tmp_path / "wcmc.csv", "--allow-partial")
    provenance = read_provenance(tmp_path / "wcmc.csv")
    assert provenance is not None
    assert any("Patient independence of the official test is not proven" in text for text in provenance.warnings)
    assert not any("square" in text for text in provenance.warnings)


def test_square_copies_are_said_to_have_lost_the_aspect_ratio(tmp_path: Path) -> None:
    for split in ("train", "test"):
        picture(tmp_path / "c" / split / "NORMAL" / f"IM-000{len(split)}-0001.jpeg", shape=(8, 8))
    assert "lost the aspect ratio" in _prepare(tmp_path / "c", tmp_path / "w.csv", "--allow-partial")


@pytest.mark.parametrize(
    ("name", "person", "subtype"),
    [
        ("person1243_bacteria_3199.jpeg", "person1243", "bacteria"),
        ("person447_virus_921_1.jpeg", "person447", "virus"),
        ("IM-0115-0001.jpeg", "IM-0115", "normal"),
        ("NORMAL2-IM-0196-0001-0002.jpeg", "NORMAL2-IM-0196", "normal"),
        ("BACTERIA-1008087-0001.jpeg", "1008087", "bacteria"),
        ("NORMAL-1003233-0001.jpeg", "1003233", "normal"),
    ],
)
def test_both_releases_names(name: str, person: str, subtype: str) -> None:
    parsed = parse_name(name)
    assert parsed is not None
    assert (parsed.person, parsed.subtype) == (person, subtype)


def test_a_strange_name_is_an_error(source: Path, tmp_path: Path) -> None:
    picture(source / "chest_xray/train/NORMAL/scan.jpeg")
    assert "scan.jpeg is named like no image of this cohort" in _prepare(source, tmp_path / "w.csv", "--allow-partial")


def test_a_file_in_the_wrong_folder_is_an_error(source: Path, tmp_path: Path) -> None:
    picture(source / "chest_xray/train/NORMAL/person3_virus_4.jpeg")
    assert "lies in NORMAL and its name says virus" in _prepare(source, tmp_path / "w.csv", "--allow-partial")


def test_a_person_and_subtype_on_both_sides_is_a_leak(source: Path, tmp_path: Path) -> None:
    picture(source / "chest_xray/test/PNEUMONIA/person3_virus_999.jpeg")
    output = _prepare(source, tmp_path / "w.csv", "--allow-partial", "--validation", 0)
    assert "splits must be by patient" in output
    assert not (tmp_path / "w.csv").exists()


def test_a_folder_without_the_cohort_says_where_it_comes_from(tmp_path: Path) -> None:
    assert "10.17632/rscbjbr9sj" in _prepare(tmp_path, tmp_path / "w.csv")


def test_the_copy_at_hand_is_whole(triage_data: Path, tmp_path: Path) -> None:
    output = _prepare(triage_data / "wcmc-pediatric", tmp_path / "w.csv", "--folds", 5)
    assert "NOT AS PUBLISHED" not in output
    rows = read_manifest(tmp_path / "w.csv")
    assert len(rows) == 5856
    with (triage_data / "wcmc-pediatric" / "manifest.csv").open(newline="") as file:
        listed = {row["image"]: row for row in csv.DictReader(file)}
    wider = defaultdict(set)
    for row in rows:
        known = listed[f"images/{row.columns['official_split']}/{row.image.parent.name}/{row.image.name}"]
        assert int(known["label"]) == row.label
        assert (known["subtype"] or "normal") == row.columns["subtype"]
        wider[known["person"]].add(row.columns["person"])
    assert {len(persons) for persons in wider.values()} == {1}
