"""Targets of the network for each image as numbers, and their weights in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from training.config import BalanceConfig, TargetConfig
from training.data.cases import TrainingCase
from training.errors import TrainingError

Floats = npt.NDArray[np.float32]


def target_matrix(cases: Sequence[TrainingCase], targets: Mapping[str, TargetConfig]) -> Floats:
    """Return (n, outputs), NaN where unknown. Raises TrainingError naming a row whose value does not fit its target."""
    rows = [[_value(case, name, target) for name, target in targets.items()] for case in cases]
    return np.array(rows, dtype=np.float32).reshape(len(cases), len(targets))


def _value(case: TrainingCase, name: str, target: TargetConfig) -> float:
    if target.source and case.source != target.source:
        return float("nan")
    if target.column not in case.columns:
        if target.source:
            raise TrainingError(f"{case.origin}: no column {target.column!r} for the target {name}")
        return float("nan")
    text = case.columns[target.column]
    if not text or text in target.unknown:
        return float("nan")
    if target.equals:
        return float(text in target.equals)
    if target.contains:
        return float(target.contains in text.split("|"))
    try:
        value = float(text)
    except ValueError:
        raise TrainingError(f"{case.origin}: {target.column} {text!r} is no number for the target {name}") from None
    if target.kind == "number":
        return (value - target.mean) / target.deviation
    if value not in (0.0, 1.0):
        raise TrainingError(f"{case.origin}: {target.column} {text!r} is neither 0 nor 1 for the target {name}")
    return value


def check_learnable(cases: Sequence[TrainingCase], matrix: Floats, targets: Mapping[str, TargetConfig]) -> None:
    """Raise TrainingError for a class with one value only, and for a number that is never known."""
    for column, (name, target) in enumerate(targets.items()):
        known = matrix[~np.isnan(matrix[:, column]), column]
        if len(known) == 0:
            raise TrainingError(f"the target {name} is known for none of {len(cases)} training rows")
        if target.kind == "class" and len(set(known.tolist())) < 2:
            raise TrainingError(f"the target {name} is {known[0]:g} in all of {len(known)} training rows")


def weight_matrix(
    cases: Sequence[TrainingCase], matrix: Floats, targets: Mapping[str, TargetConfig], balance: BalanceConfig
) -> Floats:
    """Return (n, outputs): share of the loss times weight of positives, and for the first output the balance."""
    shares = np.array([target.share for target in targets.values()], dtype=np.float32)
    weights = np.tile(shares, (len(cases), 1))
    for column, target in enumerate(targets.values()):
        weights[matrix[:, column] > 0.5, column] *= target.positive if target.kind == "class" else 1.0
    if balance.labels or balance.views:
        weights[:, 0] *= balanced(matrix[:, 0], [case.view if balance.views else "" for case in cases])
    return weights


def balanced(labels: Floats, views: Sequence[str]) -> Floats:
    """Return weights (n,) of mean 1 over the known labels, with equal mass of both labels in each view.

    This keeps the view from being a shortcut to the label. A view with one label only keeps weight 1.
    """
    known = [None if np.isnan(label) else (view, label > 0.5) for view, label in zip(views, labels, strict=True)]
    counts = {cell: known.count(cell) for cell in set(known) if cell is not None}
    raw = np.array([_cell_weight(cell, counts) for cell in known], dtype=np.float32)
    inside = np.array([cell is not None for cell in known])
    return np.asarray(raw / raw[inside].mean() if inside.any() else raw, dtype=np.float32)


def _cell_weight(cell: tuple[str, bool] | None, counts: Mapping[tuple[str, bool], int]) -> float:
    if cell is None:
        return 1.0
    view, label = cell
    other = counts.get((view, not label), 0)
    return (counts[cell] + other) / 2 / counts[cell] if other else 1.0
