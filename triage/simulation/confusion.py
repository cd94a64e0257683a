"""Confusion of classes at an operating point of the model: given as a matrix, or made of a detector for each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from triage.setting_types import Section
from triage.simulation.faults import Fault
from triage.simulation.shares import Share, fault_of_sum

Row = Mapping[str, float]
"""Shares of the assessed studies of a true class by stated class; a class that is left out has 0."""


class Detection(Section):
    """Operating point of a class: ``specificity`` is the same among the studies of every other class."""

    sensitivity: Share
    specificity: Share


class OperatingPoint(Section):
    """Confusion of the assessed studies, from ``predicted`` or ``detects``.

    ``predicted``: a row for each true class. ``detects``: a detector for each class but the least urgent. A study is
    stated to be of the most urgent class whose detector raises it, and of the least urgent one if none does; detectors
    are independent of each other within a true class.
    """

    name: str = Field(min_length=1, max_length=40)
    predicted: dict[str, dict[str, Share]] = Field(default_factory=dict)
    detects: dict[str, Detection] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.predicted) == bool(self.detects):
            raise ValueError(f"operating point {self.name}: give predicted or detects, and not both")
        return self

    def faults(self, classes: Sequence[str]) -> Iterator[Fault]:
        """Yield what is wrong with the operating point in a scenario of these classes."""
        key, wanted = ("predicted", classes) if self.predicted else ("detects", classes[:-1])
        given: Sequence[str] = list(self.predicted or self.detects)
        for name in given:
            if name not in classes:
                yield (key, name), f"no class {name}; the classes are {', '.join(classes)}"
        if self.detects and classes[-1] in given:
            yield (key, classes[-1]), f"{classes[-1]} is what no detector raises, and has none"
        if missing := [name for name in wanted if name not in given]:
            yield (key,), f"operating point {self.name} says nothing of {', '.join(missing)}"
        for name, row in self.predicted.items():
            for inner, text in row_faults(name, row, classes):
                yield (key, name, *inner), text

    def rows(self, classes: Sequence[str]) -> tuple[Row, ...]:
        """Return the row of each class."""
        if self.predicted:
            return tuple(self.predicted[name] for name in classes)
        return tuple(self._row(name, classes) for name in classes)

    def _row(self, true: str, classes: Sequence[str]) -> Row:
        row, unraised = {}, 1.0
        for name in classes[:-1]:
            detector = self.detects[name]
            raised = detector.sensitivity if name == true else 1.0 - detector.specificity
            row[name] = unraised * raised
            unraised *= 1.0 - raised
        return {**row, classes[-1]: unraised}


@dataclass(frozen=True)
class Confusion:
    """The rows of all classes, the most urgent first. ``point``: name of the operating point, empty for the model's."""

    point: str
    rows: tuple[Row, ...]

    def matrix(self, classes: Sequence[str]) -> list[list[float]]:
        """Return the shares by true and stated class."""
        return [[row.get(name, 0.0) for name in classes] for row in self.rows]


@dataclass(frozen=True)
class ClassFigures:
    """Figures of stating one class against all others, among assessed studies; None where undefined."""

    sensitivity: float | None
    specificity: float | None
    ppv: float | None
    npv: float | None


def figures_by_class(matrix: Sequence[Sequence[float]], assessed: Sequence[float]) -> list[ClassFigures]:
    """Return the figures of each class; ``assessed``: share of all studies that are of it and assessed."""
    found, everything = [], sum(assessed)
    for stated, weight in enumerate(assessed):
        tp = weight * matrix[stated][stated]
        fp = sum(other * row[stated] for other, row in zip(assessed, matrix, strict=True)) - tp
        others, tn, fn = everything - weight, everything - weight - fp, weight - tp
        found.append(ClassFigures(_ratio(tp, weight), _ratio(tn, others), _ratio(tp, tp + fp), _ratio(tn, tn + fn)))
    return found


def row_faults(name: str, row: Row, classes: Sequence[str]) -> Iterator[Fault]:
    """Yield what is wrong with the row of the class ``name``."""
    for unknown in sorted(set(row) - set(classes)):
        yield (unknown,), f"{name} is predicted to be of no class: {unknown}; the classes are {', '.join(classes)}"
    if fault := fault_of_sum(f"what {name} is predicted to be", row.values()):
        yield (), fault


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
