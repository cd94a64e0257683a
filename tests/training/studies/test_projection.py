"""The projection check as it is fitted: on phantoms of which one kind is called AP, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from training.cli import main
from training.data.cases import read_cases
from training.studies.projection import ap_shares, figures, of_known_view, tells_the_illness, thumbnails_of
from triage.phantom.chest import draw
from triage.radiograph.thumbnail import ThumbnailNetwork
from triage.validation.cohort.manifest import Row, write_manifest


def row(folder: Path, seed: int, *, split: str = "train", age: float = 50, **columns: str) -> Row:
    """Every third is normal. AP is what has the shape of a small child."""
    ap = bool(seed % 2)
    path = folder / f"{seed}-{split}.png"
    cv2.imwrite(str(path), (draw(seed, rows=80, columns=72, child=ap) >> 4).astype(np.uint8))
    read = {"rsna_class": "Lung Opacity" if seed % 3 else "Normal", "picture": f"p{seed}", **columns}
    return Row(
        image=path, label=min(seed % 3, 1), patient=f"x:{seed}", split=split, source="x", view="AP" if ap else "PA",
        age=age, columns=read,
    )  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    rows = [row(folder, seed, age=17 if seed >= 140 else 50) for seed in range(150)]
    rows += [row(folder, seed, split="held-back") for seed in range(150, 160)]
    rows += [row(folder, seed, picture="p1") for seed in (161,)]
    write_manifest(folder / "x.csv", rows)
    return folder / "x.csv"


def test_it_learns_the_view_alone_and_says_how_well_by_class_and_age(manifest: Path, tmp_path: Path) -> None:
    options = ["--manifest", manifest, "--steps", "50", "--least", "0.8", "-o", tmp_path]
    ran = CliRunner().invoke(main, ["projection", *map(str, options)], catch_exceptions=False)
    assert ran.exit_code == 0
    card = json.loads((tmp_path / "projection.json").read_text())
    assert card["trained_on"] == {"x": 140}
    assert (card["least_certain"], card["from_years"]) == (0.8, 18)
    measured = card["measured"]["out of fold"]
    assert measured["all"]["images"] == 140 and measured["all"]["AP"] == 70
    assert measured["all"]["auc"]["value"] > 0.95
    assert measured["x, normal"]["images"] + measured["x, abnormal"]["images"] == 140
    assert card["measured"]["out of fold, younger: not asked"]["images"] == 10
    assert set(card["measured"]["share of AP tells the ill within a view"]) == {"PA", "AP"}

    network = ThumbnailNetwork.from_bytes((tmp_path / "projection.npz").read_bytes())
    cases = of_known_view(read_cases([manifest]))
    shares = ap_shares(thumbnails_of(cases), network)
    assert (shares[1::2] > 0.5).mean() > 0.95 and (shares[::2] < 0.5).mean() > 0.95


def test_a_picture_is_learnt_once_and_what_is_held_back_never(manifest: Path) -> None:
    pictures = [case.picture for case in of_known_view(read_cases([manifest]))]
    assert pictures == [f"p{seed}" for seed in range(150)]


def test_what_a_limit_flags_and_notices_is_counted_by_view(manifest: Path) -> None:
    cases = of_known_view(read_cases([manifest]))[:4]  # PA, AP, PA, AP
    record = figures(cases, np.array([0.9, 0.95, 0.05, 0.3]), 0.9)
    assert record["rightly_stated_flagged"]["count"] == 1 and record["PA_flagged"]["count"] == 1
    assert record["AP_flagged"]["count"] == 0
    assert record["exchanged_noticed"]["count"] == 2
    assert record["AP_stated_as_the_other_noticed"] | {"low": 0, "high": 0} == {
        "count": 1, "share": 0.5, "low": 0, "high": 0,
    }  # fmt: skip
    assert "auc" not in record  # of two there is none


def test_a_share_that_follows_the_illness_within_a_view_is_seen(manifest: Path) -> None:
    cases = of_known_view(read_cases([manifest]))
    ill = np.array([float(case.label) for case in cases])
    assert tells_the_illness(cases, ill * 0.5 + np.arange(150) / 1e4)["PA"]["value"] == 1
    random = np.random.default_rng(1).random(150)
    assert 0.3 < tells_the_illness(cases, random)["AP"]["value"] < 0.7
