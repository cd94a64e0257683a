"""Refusals by class are of the run's own rows: further chests may be labelled by another definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.card_fields import distribution
from export.held_out import Chests
from training.data.cases import TrainingCase


def chest(number: int, label: int, rsna_class: str) -> TrainingCase:
    return TrainingCase(
        image=Path(f"{number}.png"),
        label=label,
        patient=f"cohort:{number}",
        split="train",
        fold=None,
        view="AP" if number % 2 else "PA",
        source="cohort",
        columns={"rsna_class": rsna_class},
        origin="drawn",
    )


def test_further_chests_are_a_group_of_their_own() -> None:
    own = [chest(n, n % 2, "Lung Opacity" if n % 2 else "Normal") for n in range(60)]
    further = [chest(n, 1, "") for n in range(60, 100)]
    images = np.random.default_rng(0).integers(0, 255, (100, 64, 64)).astype(np.uint8)
    labels = np.array([float(case.label) for case in (*own, *further)])
    found = {name: each.n for name, each in distribution(Chests([*own, *further], images, labels, 60)).refusals.items()}
    assert found == {
        "all": 100,
        "positive": 30,
        "negative": 30,
        "RSNA's Lung Opacity": 30,
        "RSNA's Normal": 30,
        "further chests": 40,
        "AP": 50,
        "PA": 50,
    }
