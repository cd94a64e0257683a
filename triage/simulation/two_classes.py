"""The case mix of two classes, abnormal and normal, for a model with one operating point."""

from __future__ import annotations

from triage.setting_types import Section
from triage.simulation.case_mix import UrgencyClass
from triage.simulation.reading_time import ReadingTime
from triage.simulation.shares import Share


class ReadingTimes(Section):
    """Reading times of normal and of abnormal studies; ``abnormal`` left out is like ``normal``."""

    normal: ReadingTime
    abnormal: ReadingTime | None = None


class SimulatedModel(Section):
    """The operating point among assessed studies, and the share of studies that are not assessed.

    ``not_assessed_abnormal``: that share among abnormal studies, if it differs.
    """

    sensitivity: Share
    specificity: Share
    not_assessed: Share = 0.0
    not_assessed_abnormal: Share | None = None
    source: str = ""


def two_classes(prevalence: float, reading: ReadingTimes, model: SimulatedModel) -> tuple[UrgencyClass, UrgencyClass]:
    """Return the classes abnormal and normal; ``prevalence`` is the share of studies that are abnormal."""
    other = model.not_assessed_abnormal
    abnormal = UrgencyClass(
        name="abnormal",
        prevalence=prevalence,
        reading=reading.normal if reading.abnormal is None else reading.abnormal,
        predicted={"abnormal": model.sensitivity, "normal": 1.0 - model.sensitivity},
        not_assessed=model.not_assessed if other is None else other,
    )
    normal = UrgencyClass(
        name="normal",
        prevalence=1.0 - prevalence,
        reading=reading.normal,
        predicted={"abnormal": 1.0 - model.specificity, "normal": model.specificity},
        not_assessed=model.not_assessed,
    )
    return abnormal, normal
