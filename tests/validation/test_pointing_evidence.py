"""``triage models pointing-game``: the way of a measurement into the card, and so of a map onto the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.support.model_folders import write_model
from triage.cli import triage
from triage.model.activation_map import peak
from triage.model.card import CARD, load_card
from triage.phantom.chest import draw
from triage.validation.cohort.manifest import Row, write_manifest
from triage.validation.scores.activation_maps import NIH_SIDE, ActivationMaps

IMAGES = 8


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path, "tiny-adult", cam=True)
    return tmp_path / "tiny-adult"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for number in range(IMAGES):
        grey = np.clip(draw(number, rows=96, columns=96) / 16 + rng.normal(0, 4, (96, 96)), 0, 255).astype(np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), grey)
    rows = [Row(tmp_path / f"{each}.png", each % 2, f"p{each}", view="PA", age=40.0, sex="F") for each in range(IMAGES)]
    write_manifest(tmp_path / "cohort.csv", rows)
    return tmp_path / "cohort.csv"


def boxes(file: Path, around: dict[int, tuple[float, float]], half: float = 0.05) -> Path:
    """Write a square box around a point of each image, in NIH's form."""
    lines = ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    for number, (x, y) in around.items():
        corner = ",".join(str(NIH_SIDE * each) for each in (x - half, y - half, 2 * half, 2 * half))
        lines.append(f"{number}.png,Mass,{corner}")
    file.write_text("\n".join(lines))
    return file


def measured(model: Path, manifest: Path, of: Path | None, out: Path) -> Path:
    more = ["--boxes", str(of)] if of else []
    arguments = ["validate", "--model", str(model), "--cohort", str(manifest), "--out", str(out), "--rounds", "20"]
    done = CliRunner().invoke(triage, [*arguments, "--no-images", *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return out


def stated(model: Path, report: Path, *more: str) -> Result:
    arguments = ["models", "pointing-game", str(model), "--report", str(report), "--reference", "two radiologists"]
    return CliRunner().invoke(triage, [*arguments, *more], catch_exceptions=False)


def test_a_map_is_shown_once_its_peaks_were_measured_to_lie_in_boxes(
    tmp_path: Path, model: Path, manifest: Path
) -> None:
    maps = ActivationMaps(model, load_card(model))
    views = {number: maps.view(tmp_path / f"{number}.png") for number in range(IMAGES)}
    peaks = {number: peak(view.over_image) for number, view in views.items() if view and view.over_image}
    assert len(peaks) == IMAGES
    report = measured(model, manifest, boxes(tmp_path / "hit.csv", peaks), tmp_path / "hit")
    mode = (model / CARD).stat().st_mode
    before = (model / CARD).read_bytes()
    refused = stated(model, report)
    assert refused.exit_code == 78 and "say with --held-out" in refused.output
    assert (model / CARD).read_bytes() == before and not load_card(model).leading.localises

    done = stated(model, report, "--boxes-of", "Mass", "--held-out", "drawn after the training")
    assert done.exit_code == 0 and "its activation map is shown" in done.output, done.output
    (entry,) = load_card(model).leading.pointing_game
    assert (entry.hits.value, entry.hits.n, entry.reference) == (1.0, IMAGES, "two radiologists")
    assert entry.hits.low > entry.chance and "drawn after the training" in entry.cohort
    assert (model / CARD).stat().st_mode == mode
    stated(model, report, "--boxes-of", "Mass", "--held-out", "drawn after the training")
    assert len(load_card(model).leading.pointing_game) == 1  # the same measurement again

    elsewhere = {number: ((x + 0.5) % 1, (y + 0.5) % 1) for number, (x, y) in peaks.items()}
    missed = measured(model, manifest, boxes(tmp_path / "miss.csv", elsewhere), tmp_path / "miss")
    done = stated(model, missed, "--held-out", "drawn after the training")
    assert done.exit_code == 0 and "is not shown" in done.output  # it must point in every cohort
    assert len(load_card(model).leading.pointing_game) == 2 and not load_card(model).leading.localises


def test_a_report_that_shows_nothing_of_this_model_s_map_is_refused(
    tmp_path: Path, model: Path, manifest: Path
) -> None:
    before = (model / CARD).read_bytes()
    report = measured(model, manifest, None, tmp_path / "out")
    metrics: dict[str, Any] = json.loads((report / "metrics.json").read_text())
    game = {"findings": [], "why_not": "the graph has no output cam"}
    hits = {"finding": "all", "n": 9, "hits": 9, "share": 1.0, "interval": [0.7, 1.0], "chance": 0.1}
    wrong: dict[str, dict[str, Any]] = {
        "made without boxes": {},
        "was not played: the graph has no output cam": {"pointing_game": game},
        "has no boxes of all: there are Mass": {"pointing_game": {"findings": [{**hits, "finding": "Mass"}]}},
        "3 images of the report are of patients that the model was trained on": {
            "pointing_game": {"findings": [hits]},
            "cohort": {**metrics["cohort"], "images_of_training_patients": 3},
        },
        "is of other weights": {"model": {**metrics["model"], "sha256": "0" * 64}},
    }
    for why, change in wrong.items():
        (report / "metrics.json").write_text(json.dumps({**metrics, **change}))
        done = stated(model, report, "--held-out", "so")
        assert done.exit_code == 78 and why in done.output, (why, done.output)
    (report / "metrics.json").write_text("{}")
    assert stated(model, report).exit_code == 78
    assert (model / CARD).read_bytes() == before
