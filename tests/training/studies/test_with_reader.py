"""A reader and a model together: what a good reader adds, what a useless one does not, and shares by finding."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.cohort_images import write_cohort
from training.cli import main
from training.studies.with_reader import Reading, by_finding, combinations


def reading(right: float) -> Reading:
    """200 patients; the reader is right in a share ``right`` of the images, and the model knows something."""
    random = np.random.default_rng(0)
    labels = np.arange(200) % 2 * 1.0
    calls = np.where(random.random(200) < right, labels, 1 - labels) > 0.5
    scores = 1 / (1 + np.exp(-(labels - 0.5) * 2 - random.normal(0, 1, 200)))
    names = tuple(f"p{number // 2}" for number in range(200))
    findings = tuple("Mass|Nodule" if label and number % 4 == 1 else "" for number, label in enumerate(labels))
    return Reading(names, ("PA",) * 200, findings, labels, calls, scores)


def test_a_good_reader_adds_to_the_model_and_a_guessing_one_does_not() -> None:
    reader, model, both, either, neither = combinations(reading(0.9))
    assert both.gain is not None and both.gain_ci95 is not None and both.gain_ci95[0] > 0
    assert both.auc == pytest.approx((model.auc or 0) + both.gain)
    assert either.sensitivity.hits >= max(reader.sensitivity.hits, model.sensitivity.hits)
    assert neither.specificity.hits >= max(reader.specificity.hits, model.specificity.hits)
    guessing = combinations(reading(0.5))[2]
    assert guessing.gain_ci95 is not None and guessing.gain_ci95[0] < 0


def test_a_finding_is_named_among_several_and_rare_ones_are_left_out() -> None:
    one = reading(0.9)
    found = by_finding(one, least=5)
    assert set(found) == {"Mass", "Nodule"} and found["Mass"] == found["Nodule"]
    every, positive = found["Mass"]
    chosen = np.array(["Mass" in text for text in one.findings])
    assert (every.of, every.hits) == (chosen.sum(), (one.probabilities[chosen] >= 0.5).sum()) and every == positive
    assert by_finding(one, least=51) == {}


def test_the_command_takes_a_table_of_scores_and_the_calls_of_a_manifest(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 40)
    scores = tmp_path / "predictions.csv"
    with scores.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "probability"))
        writer.writerows((f"cohort-{n}.png", "" if n == 3 else 0.2 + 0.5 * (n // 2 % 2)) for n in range(40))
    command = ["with-reader", str(scores), "--manifest", str(manifest)]
    said = CliRunner().invoke(main, [*command, "--call", "other_label", "--findings", "findings"])
    assert said.exit_code == 0, said.output
    assert "39 images, 1 more without a score or a call" in said.output
    assert "| Mass | 19 | 1.000 (" in said.output or "| Mass | 20 | 1.000 (" in said.output
    refused = CliRunner().invoke(main, [*command, "--call", "nothing"])
    assert refused.exit_code == 1 and "has no column 'nothing'; there are label" in refused.output
