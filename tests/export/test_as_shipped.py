"""The table of held-out scores that a validation of the released model reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from export.findings import write_as_shipped
from training.runs.scores import RunScores
from triage.validation.scores.external import read_finding_scores, read_scores


def a_finding(name: str, images: tuple[str, ...], logits: list[float]) -> Any:
    texts = tuple("" for _ in images)
    folds = tuple(0 for _ in images)
    scored = RunScores(images, texts, texts, folds, texts, texts, texts, np.zeros(len(images)), np.array(logits))
    return SimpleNamespace(about=SimpleNamespace(name=name), judged=SimpleNamespace(scored=scored))


def test_every_finding_has_its_column_and_an_image_without_a_score_an_empty_cell(tmp_path: Path) -> None:
    table = tmp_path / "as-shipped.csv"
    lead = a_finding("abnormal", ("a.png", "b.png"), [0.0, 2.0])
    write_as_shipped([lead, a_finding("lung_opacity", ("b.png",), [-1.0])], table)
    assert read_scores(table)["a.png"] == pytest.approx(0.5)
    assert read_finding_scores(table) == {
        "lung_opacity": {"a.png": None, "b.png": pytest.approx(1 / (1 + np.e), abs=1e-6)}
    }
    write_as_shipped([lead], table)
    assert read_finding_scores(table) == {} and len(read_scores(table)) == 2
