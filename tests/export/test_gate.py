"""The gate takes no noise for proof: who is too few, what may be chance, and what the card says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from export.description import DescriptionFile
from export.gate import LEAST_PATIENTS, pass_gate
from export.performance import DELONG, NO_INTERVAL, PAIRS, auc_interval
from training.runs.scores import RunScores

MANY = 60
FINDING = {
    "target": "abnormal",
    "name": "abnormal",
    "title": "f",
    "positive_class": "p",
    "negative_class": "n",
    "negative_means": "absent",
}


def about(**use: Any) -> DescriptionFile:
    whole = {"modalities": ["CR"], "views": ["PA", "AP"], "age_from": 18.0, "age_below": None}
    return DescriptionFile.model_validate(
        {
            "version": "1",
            "limits": [],
            "findings": [FINDING],
            "abnormal": {"negative_is_normal": True},
            "intended_use": {**whole, **use},
            "licence": {"weights": "w", "commercial": False, "because": "b"},
            "training": {"data": [], "recipe": "r"},
            "export": {"validation": "v", "reference": "r"},
        }
    )


CHILDREN = {"age_from": 1.0, "age_below": 6.0}


def scores(
    view: str, positives: int, negatives: int, *, apart: float = 2.0, cohort: str = "nih", seed: int = 0
) -> RunScores:
    """Images of as many patients: ``apart`` is how far positives lie above negatives, in deviations."""
    count = positives + negatives
    labels = np.repeat([1.0, 0.0], [positives, negatives])
    logits = np.random.default_rng(seed).normal(apart * labels, 1)
    return RunScores(
        images=tuple(f"{view}{number}" for number in range(count)),
        patients=tuple(f"{cohort}:{view}{number}" for number in range(count)),
        sources=("s",) * count,
        folds=(0,) * count,
        views=(view,) * count,
        ages=("",) * count,
        sexes=("",) * count,
        labels=labels,
        logits=logits,
    )


def joined(*parts: RunScores) -> RunScores:
    names = ("images", "patients", "sources", "folds", "views", "ages", "sexes")
    texts = {name: tuple(value for part in parts for value in getattr(part, name)) for name in names}
    labels, logits = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "logits"))
    return RunScores(**texts, labels=labels, logits=logits)


def test_a_model_that_knows_something_in_both_views_is_no_demonstration() -> None:
    verdict = pass_gate(joined(scores("PA", MANY, MANY), scores("AP", MANY, LEAST_PATIENTS)), about())
    assert verdict.lines == ()
    assert not verdict.demo


@pytest.mark.parametrize("negatives", [1, 2, 15, LEAST_PATIENTS - 1])
def test_too_few_patients_of_a_class_within_a_view_prove_nothing_however_they_score(negatives: int) -> None:
    few = scores("AP", MANY, negatives, apart=100.0)
    assert auc_interval(few).value == 1
    verdict = pass_gate(joined(scores("PA", MANY, MANY), few), about())
    assert verdict.demo
    asked = f"within AP {negatives} patients of the negative class, and {LEAST_PATIENTS} are asked for"
    assert verdict.failures[0] == asked
    assert verdict.lines[0] == f"Demonstration only: {asked}."


def test_many_images_of_few_patients_are_few() -> None:
    whole = joined(scores("PA", MANY, MANY), scores("AP", MANY, MANY))
    one_in_six = tuple(
        f"nih:{index // 6 if view == 'AP' and label < 0.5 else f'own{index}'}"
        for index, (view, label) in enumerate(zip(whole.views, whole.labels, strict=True))
    )
    verdict = pass_gate(replace(whole, patients=one_in_six), about())
    assert verdict.failures == ("within AP 10 patients of the negative class, and 30 are asked for",)


def test_where_patients_are_hidden_images_are_counted_and_it_is_said() -> None:
    verdict = pass_gate(joined(scores("PA", MANY, MANY), scores("AP", MANY, 12, cohort="rsna")), about())
    assert verdict.failures == (
        "within AP 12 images, whose patients are hidden, of the negative class, and 30 are asked for",
    )


def test_a_view_that_was_not_measured_is_not_shown() -> None:
    unseen = pass_gate(scores("PA", MANY, MANY), about())
    assert len(unseen.failures) == 2 and all(failure.startswith("within AP 0 patients") for failure in unseen.failures)
    assert not pass_gate(scores("PA", MANY, MANY), about(views=["PA"])).demo


@pytest.mark.parametrize("apart", [0.0, -2.0])
def test_what_may_be_chance_within_a_view_is_a_demonstration_whatever_the_projection_tells(apart: float) -> None:
    ill_lying = joined(scores("PA", MANY, 4 * MANY, apart=apart), scores("AP", 4 * MANY, MANY, apart=apart))
    by_view = replace(ill_lying, logits=ill_lying.logits + 3 * np.array([view == "AP" for view in ill_lying.views]))
    assert auc_interval(by_view).low > 0.5 or apart < 0
    verdict = pass_gate(by_view, about())
    assert {failure.partition(" the AUC")[0] for failure in verdict.failures} >= {"within PA", "within AP"}


def test_noise_passes_as_rarely_as_the_interval_says() -> None:
    """No random model of 200 passes: the expected number is 200 times 0.025 squared."""
    passed = [
        pass_gate(
            joined(
                scores("PA", MANY, MANY, apart=0, seed=2 * seed), scores("AP", MANY, MANY, apart=0, seed=2 * seed + 1)
            ),
            about(),
        ).demo
        for seed in range(200)
    ]
    assert all(passed)


def test_children_whose_images_state_no_view_are_judged_over_all_and_the_card_says_so() -> None:
    verdict = pass_gate(scores("", MANY, MANY), about(**CHILDREN))
    assert not verdict.demo
    assert verdict.lines == ("Not shown within PA or AP: no held-out image states its view.",)
    assert pass_gate(scores("", MANY, MANY), about()).demo  # an adult's never
    assert pass_gate(joined(scores("PA", MANY, MANY), scores("", MANY, MANY)), about(**CHILDREN)).demo
    assert pass_gate(scores("", MANY, 29), about(**CHILDREN)).demo


def test_an_auc_of_one_has_the_exact_interval_of_as_many_pairs_as_share_no_patient() -> None:
    one = auc_interval(scores("AP", MANY, 1, apart=100))
    assert (one.value, one.low, one.high, one.method) == (1.0, 0.025, 1.0, PAIRS)
    many = auc_interval(scores("AP", MANY, 30, apart=100))
    assert (many.low, many.high) == (pytest.approx(0.025 ** (1 / 30), abs=1e-4), 1.0)
    wrong = auc_interval(scores("AP", MANY, 30, apart=-100))
    assert (wrong.value, wrong.low, wrong.high) == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 30), abs=1e-4))


def test_an_auc_without_an_interval_may_be_anything() -> None:
    lone = auc_interval(scores("AP", MANY, 1, apart=0.5))
    assert 0 < lone.value < 1
    assert (lone.low, lone.high, lone.method) == (0.0, 1.0, NO_INTERVAL)
    same = scores("AP", MANY, MANY)
    flat = auc_interval(replace(same, logits=np.zeros(2 * MANY)))
    assert (flat.value, flat.low, flat.high) == (0.5, 0.0, 1.0)
    assert auc_interval(same).method == DELONG
