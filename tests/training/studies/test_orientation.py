"""The orientation check as it is fitted: on phantoms, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from training.cli import main
from training.data.cases import read_cases
from training.data.images import load
from training.studies.orientation import SLANTS, certainties, certainties_of_cases, counted
from training.studies.thumbnail_network import CACHED, share, thumbnails
from triage.phantom.chest import draw
from triage.radiograph.thumbnail import ThumbnailNetwork
from triage.validation.cohort.manifest import Row, write_manifest


def cohort(folder: Path, name: str, seeds: range, split: str) -> Path:
    rows = []
    for seed in seeds:
        path = folder / f"{name}-{seed}.png"
        chest = draw(seed, rows=80, columns=72, child=bool(seed % 2)) >> 4
        cv2.imwrite(str(path), chest.astype(np.uint8))
        rows.append(Row(image=path, label=seed % 2, patient=f"{name}:{seed}", split=split, source=name, view="PA"))
    write_manifest(folder / f"{name}.csv", rows)
    return folder / f"{name}.csv"


def test_phantoms_teach_it_what_is_upright_and_no_label_is_asked(tmp_path: Path) -> None:
    learnt, held_out = cohort(tmp_path, "learnt", range(30), "train"), cohort(tmp_path, "test", range(30, 42), "test")
    options = ["--manifest", learnt, "--test", held_out, "--steps", "40", "--cache", tmp_path / "c", "-o", tmp_path]
    ran = CliRunner().invoke(main, ["orientation", *map(str, options)], catch_exceptions=False)
    assert ran.exit_code == 0
    card = json.loads((tmp_path / "orientation.json").read_text())
    assert card["trained_on"] == {"learnt": 30} and card["least_upright"] == 0.8
    measured = card["measured"]["held out"]["test, PA"]
    assert measured["images"] == 12
    assert [measured[f"turned_{turn}_passed"]["count"] for turn in (90, 180, 270)] == [0, 0, 0]
    assert measured["upright_refused"]["count"] <= 2
    slanted = card["measured"]["held out, slanted"]
    assert slanted["images"] == 3 and set(map(int, slanted["refused"])) == set(SLANTS)
    assert card["measured"]["out of fold"]["all"]["images"] == 30

    network = ThumbnailNetwork.from_bytes((tmp_path / "orientation.npz").read_bytes())
    cases = read_cases([held_out])
    found = certainties_of_cases(cases, network)
    assert (found.argmax(axis=1) == 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(12))  # the four turns share one certainty
    cached = certainties(thumbnails(load(cases, CACHED, tmp_path / "c")), network)
    assert np.corrcoef(cached[:, 1] - cached[:, 3], found[:, 1] - found[:, 3])[0, 1] > 0.9
    assert np.abs(cached - found).max() < 0.1


def test_what_is_refused_and_what_passes_is_counted() -> None:
    found = np.array([[0.9, 0.05, 0.03, 0.02], [0.7, 0.1, 0.1, 0.1], [0.05, 0.95, 0.0, 0.0]])
    record = counted(found, 0.8)
    assert record["upright_refused"]["count"] == 2
    assert [record[f"turned_{turn}_passed"]["count"] for turn in (90, 180, 270)] == [1, 0, 0]
    assert share(0, 300) == {"count": 0, "share": 0.0, "low": 0.0, "high": pytest.approx(0.0122, abs=1e-4)}
