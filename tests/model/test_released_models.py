"""The models that ship: what their cards say of licence and adults is so."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest

from triage.model.card import ModelCard, load_cards
from triage.statistics.intervals import auc, auc_within, exact_interval, patient_bootstrap

ROOT = Path(__file__).parents[2]
OUT_OF_FOLD = ROOT / "docs" / "validation" / "nih-adult-on-nih-expert" / "predictions.csv"


@pytest.fixture(scope="module")
def cards() -> dict[str, ModelCard]:
    return load_cards(ROOT / "models")


def test_every_model_says_under_what_its_weights_may_be_used(cards: dict[str, ModelCard]) -> None:
    text = " ".join((ROOT / "models" / "LICENSE").read_text(encoding="utf-8").split()).lower()
    for name, card in cards.items():
        assert card.licence is not None
        own = text.partition(f" {name} ")[2][:120]
        assert own.startswith(card.licence.weights.lower())


def test_what_learnt_from_rsnas_labels_is_not_for_commercial_use(cards: dict[str, ModelCard]) -> None:
    learnt = {name for name, card in cards.items() if "RSNA" in " ".join(card.training.data)}
    assert learnt == {name for name, card in cards.items() if card.licence and not card.licence.commercial}
    assert "nih-adult" in learnt


def test_the_card_is_what_the_description_says(cards: dict[str, ModelCard]) -> None:
    for name, card in cards.items():
        about = tomllib.loads((ROOT / "export" / "cards" / f"{name}.toml").read_text(encoding="utf-8"))
        assert card.target.model_dump() == about["target"]
        assert card.licence is not None and card.licence.model_dump() == about["licence"]
        assert list(card.limits[: len(about["limits"])]) == about["limits"]


def test_the_figures_of_adults_are_those_of_the_scores_out_of_fold(cards: dict[str, ModelCard]) -> None:
    with OUT_OF_FOLD.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["age_years"]) >= 18]
    labels, scores = (np.array([float(row[name]) for row in rows]) for name in ("label", "probability"))
    views, patients = np.array([row["view"] for row in rows]), [row["image"].partition("_")[0] for row in rows]
    (stated,) = (each.figures for each in cards["nih-adult"].performance if "281 images of adults" in each.cohort)
    within = patient_bootstrap(lambda some: auc_within(labels[some], scores[some], views[some]), patients)
    assert_figure(stated["auc within view"], auc_within(labels, scores, views.tolist()), within)
    everything = patient_bootstrap(lambda some: auc(labels[some], scores[some]), patients)
    assert_figure(stated["auc"], auc(labels, scores), everything)
    called, positive = scores >= 0.5, labels > 0.5
    for name, right in (("sensitivity at 0.5", called[positive]), ("specificity at 0.5", ~called[~positive])):
        assert stated[name].n == len(right)
        assert_figure(stated[name], float(right.mean()), exact_interval(int(right.sum()), len(right)))


def assert_figure(stated: object, value: float, bounds: tuple[float, float]) -> None:
    found = [getattr(stated, name) for name in ("value", "low", "high")]
    assert found == pytest.approx([value, *bounds], abs=6e-5)
