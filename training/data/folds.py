"""Folds of whole patients with the same shares of labels and views."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from training.data.cases import TrainingCase
from training.errors import TrainingError


def assign_folds(cases: Sequence[TrainingCase], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each row: the manifest's own where every row has one, else ``count`` folds by patient.

    Raises TrainingError for fewer patients than folds, and for a patient in two of the manifest's folds.
    """
    if all(case.fold is not None for case in cases):
        return _own(cases)
    patients = {case.patient for case in cases}
    if len(patients) < count:
        raise TrainingError(f"{len(patients)} patients are too few for {count} folds")
    strata = [f"{case.label} {case.view}" for case in cases]
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = np.zeros(len(cases), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a rare view has fewer rows than there are folds
        split = splitter.split(strata, strata, [case.patient for case in cases])
        for fold, (_, held_out) in enumerate(split):
            folds[held_out] = fold
    return folds


def _own(cases: Sequence[TrainingCase]) -> npt.NDArray[np.int64]:
    fold_of: dict[str, TrainingCase] = {}
    for case in cases:
        first = fold_of.setdefault(case.patient, case)
        if first.fold != case.fold:
            raise TrainingError(
                f"{case.origin}: its patient is in fold {case.fold} here and in {first.fold} in {first.origin}"
            )
    return np.array([case.fold for case in cases], dtype=np.int64)
