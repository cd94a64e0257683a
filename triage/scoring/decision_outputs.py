"""Destinations of what a batch decides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from triage.decision.types import ImageAssessment, TriageDecision
from triage.metrics.worker import WorkerMetrics


def do_nothing(study_instance_uid: str) -> None:
    """Do nothing under the lock of a study whose decision was written."""


@dataclass(frozen=True)
class DecisionOutputs:
    """Destinations of the decisions of one partition.

    ``index`` takes the decisions of a batch once they are durable, ``mark`` the UID of a study whose decision is to be
    delivered. ``deciding`` takes the UIDs of studies and their new assessments before any of them is locked, and
    returns what takes the UID of each of them under the lock under which its decision was written.
    """

    metrics: WorkerMetrics
    index: Callable[[Sequence[TriageDecision]], None]
    mark: Callable[[str], None] = lambda study_instance_uid: None
    deciding: Callable[[Collection[str], Collection[ImageAssessment]], Callable[[str], None]] = lambda *_: do_nothing
