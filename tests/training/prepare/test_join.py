"""Joining manifests: patients that two cohorts share, leaks refused, and what each manifest warned of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cohort_trees import picture, run, table
from triage.validation.cohort.manifest import ManifestError, Row, public_patients, read_manifest, write_manifest
from triage.validation.cohort.provenance import read_provenance


def _manifest(path: Path, *rows: tuple[str, str, str]) -> Path:
    """A manifest of (image name, patient, split)."""
    sources = {"nih": "nih-chestxray14", "rsna": "rsna-pneumonia"}
    made = [
        Row(picture(path.parent / name), number % 2, patient, split, source=sources.get(patient.split(":")[0], "own"))
        for number, (name, patient, split) in enumerate(rows)
    ]
    write_manifest(path, made)
    return path


@pytest.fixture
def nih(tmp_path: Path) -> Path:
    return _manifest(tmp_path / "nih.csv", ("n1.png", "nih:1", "train"), ("n2.png", "nih:2", "test"))


@pytest.fixture
def rsna(tmp_path: Path) -> Path:
    return _manifest(tmp_path / "rsna.csv", ("r1.png", "rsna:a", "train"), ("r2.png", "rsna:b", "train"))


@pytest.fixture
def crosswalk(tmp_path: Path) -> Path:
    rows = [("a", "00000001_000.png"), ("b", "00000002_005.png")]
    return table(tmp_path / "x.csv", ("rsna_patient", "nih_image"), rows)


def test_rsna_and_nih_do_not_meet_without_a_crosswalk(nih: Path, rsna: Path, tmp_path: Path) -> None:
    result = run("join", nih, rsna, "--out", tmp_path / "j.csv")
    assert result.exit_code != 0
    assert "RSNA's images are of NIH's patients: give --crosswalk" in result.output


def test_a_patient_whom_one_trains_on_and_the_other_tests_is_refused(
    nih: Path, rsna: Path, crosswalk: Path, tmp_path: Path
) -> None:
    result = run("join", nih, rsna, "--crosswalk", crosswalk, "--out", tmp_path / "j.csv")
    assert result.exit_code != 0
    assert f"{rsna}, line 3: the patient of this row is in split 'train' here and in 'test' in {nih}, line 3" in (
        result.output
    )
    assert not (tmp_path / "j.csv").exists()


def test_leaking_training_rows_can_be_dropped_and_are_counted(
    nih: Path, rsna: Path, crosswalk: Path, tmp_path: Path
) -> None:
    result = run("join", nih, rsna, "--crosswalk", crosswalk, "--drop-leaking", "--out", tmp_path / "j.csv")
    assert result.exit_code == 0, result.output
    rows = read_manifest(tmp_path / "j.csv")
    assert [(row.image.name, row.patient, row.split) for row in rows] == [
        ("n1.png", "nih:1", "train"),
        ("n2.png", "nih:2", "test"),
        ("r1.png", "nih:1", "train"),
    ]
    provenance = read_provenance(tmp_path / "j.csv")
    assert provenance is not None
    assert provenance.notes["rows dropped for leaking"] == 1
    assert any("one radiograph may be in here twice" in warning for warning in provenance.warnings)
    assert public_patients(rows) == ("nih:1", "nih:2")


def test_an_rsna_row_outside_the_crosswalk_is_named(rsna: Path, tmp_path: Path) -> None:
    short = table(tmp_path / "s.csv", ("rsna_patient", "nih_image"), [("a", "00000001_000.png")])
    result = run("join", rsna, "--crosswalk", short, "--out", tmp_path / "j.csv")
    assert f"{rsna}, line 3: b is not in the crosswalk" in result.output


def test_a_crosswalk_reveals_a_leak_inside_rsna(tmp_path: Path, crosswalk: Path) -> None:
    path = _manifest(tmp_path / "r.csv", ("r1.png", "rsna:a", "train"), ("r2.png", "rsna:c", "test"))
    crosswalk.write_text(crosswalk.read_text() + "c,00000001_007.png\n")
    result = run("join", path, "--crosswalk", crosswalk, "--out", tmp_path / "j.csv")
    assert "splits must be by patient" in result.output


def test_folds_are_drawn_anew_over_everything(tmp_path: Path) -> None:
    paths = [
        _manifest(tmp_path / f"{name}.csv", *((f"{name}{n}.png", f"own:{name}{n // 2}", "train") for n in range(8)))
        for name in ("a", "b")
    ]
    result = run("join", *paths, "--folds", 4, "--out", tmp_path / "j.csv")
    assert result.exit_code == 0, result.output
    rows = read_manifest(tmp_path / "j.csv")
    assert {row.fold for row in rows} == {0, 1, 2, 3}


def test_a_partial_manifest_stays_partial_and_its_warnings_come_along(tmp_path: Path) -> None:
    for split in ("train", "test"):
        picture(tmp_path / "c" / split / "NORMAL" / f"IM-000{len(split)}-0001.jpeg")
    run("prepare", "wcmc", "--source", tmp_path / "c", "--out", tmp_path / "w.csv", "--allow-partial")
    run("join", tmp_path / "w.csv", "--out", tmp_path / "j.csv")
    provenance = read_provenance(tmp_path / "j.csv")
    assert provenance is not None
    assert provenance.partial
    assert any(warning.startswith("w.csv: ") and "not proven" in warning for warning in provenance.warnings)


def test_a_patient_in_two_folds_is_a_leak(tmp_path: Path) -> None:
    rows = [Row(picture(tmp_path / f"{fold}.png"), 0, "own:a", "train", fold) for fold in (0, 1)]
    write_manifest(tmp_path / "m.csv", rows)
    with pytest.raises(ManifestError, match="line 3: the patient of this row is in fold 1 here and in 0 in line 2"):
        read_manifest(tmp_path / "m.csv")


def test_a_manifest_changed_since_is_noticed(tmp_path: Path) -> None:
    picture(tmp_path / "c" / "train" / "NORMAL" / "IM-0001-0001.jpeg")
    picture(tmp_path / "c" / "test" / "NORMAL" / "IM-0002-0001.jpeg")
    out = tmp_path / "w.csv"
    run("prepare", "wcmc", "--source", tmp_path / "c", "--out", out, "--allow-partial")
    out.write_text(out.read_text().replace(",0,", ",1,"))
    with pytest.raises(ManifestError, match=r"describes another state of w\.csv"):
        read_provenance(out)
    assert read_provenance(tmp_path / "by-hand.csv") is None
