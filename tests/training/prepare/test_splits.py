"""Seeded splits of whole patients."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from training.prepare.cohort import PrepareError
from training.prepare.splits import assign_folds, by_label_and_view, carve
from triage.validation.cohort.manifest import Row, find_leak


def _rows(images: int = 3000, seed: int = 3) -> list[Row]:
    """Images of patients with one to eight, where AP is more often abnormal than PA."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(images):
        ap = bool(random.random() < 0.4)
        label = int(random.random() < (0.7 if ap else 0.4))
        patient = f"own:{int(images / 3 * random.random() ** 1.5)}"
        rows.append(Row(Path(f"{number}.png"), label, patient, "train", view="AP" if ap else "PA"))
    return rows


def test_carving_takes_its_share_of_each_stratum_in_whole_patients() -> None:
    rows = _rows()
    carved = carve(rows, 0.1, seed=1, stratum=by_label_and_view)
    assert find_leak(carved) is None
    there, taken = (Counter(map(by_label_and_view, part)) for part in (rows, [r for r in carved if r.split == "val"]))
    for stratum, number in there.items():
        assert taken[stratum] == pytest.approx(0.1 * number, abs=5)


def test_the_draw_depends_on_the_seed_and_not_on_the_order() -> None:
    rows = _rows()
    first = {row.image for row in carve(rows, 0.1, seed=1) if row.split == "val"}
    assert first == {row.image for row in carve(rows[::-1], 0.1, seed=1) if row.split == "val"}
    assert first != {row.image for row in carve(rows, 0.1, seed=2) if row.split == "val"}


def test_folds_are_even_in_label_and_view() -> None:
    rows = assign_folds(_rows(), 7, seed=1)
    assert find_leak(rows) is None
    for stratum, number in Counter(map(by_label_and_view, rows)).items():
        for fold in range(7):
            held = sum(row.fold == fold and by_label_and_view(row) == stratum for row in rows)
            assert held == pytest.approx(number / 7, rel=0.05)


def test_test_rows_get_no_fold() -> None:
    rows = carve(_rows(300), 0.2, seed=1, split="test")
    folded = assign_folds(rows, 3, seed=1)
    assert {row.fold for row in folded if row.split == "test"} == {None}
    assert {row.fold for row in folded if row.split == "train"} == {0, 1, 2}


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(PrepareError, match="5 folds need as many patients; train and val have 1"):
        assign_folds([Row(Path("a.png"), 0, "own:a", "train")], 5, seed=1)
