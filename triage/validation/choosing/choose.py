"""Choice of operating points for the strata of a cohort, each certified on other cases than chose it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from triage.model.card import ModelCard
from triage.model.points_entry import (
    FEWEST_POSITIVE_PATIENTS,
    STATION_LASTS,
    PointEntry,
    PointProvenance,
    PointStratum,
)
from triage.validation.choosing.cases import Cases
from triage.validation.choosing.rule import ChoiceRule, bounds_at, trials_at
from triage.validation.scores.scored import ScoredCohort

CONFIDENCE = 0.95
LIKELY = 0.9
"""Chance of holding on the cases that check too, from which a threshold is taken; one at the edge often fails there."""


@dataclass(frozen=True)
class ChoiceTask:
    """The rule of a choice, the model's finding, by whom and when, and the reason for a station's point."""

    rule: ChoiceRule
    card: ModelCard
    finding: str
    by: str
    at: datetime
    reason: str = ""


@dataclass(frozen=True)
class StratumChoice:
    """The result for one stratum: its entry, or the reason why it inherits its parent's point."""

    stratum: PointStratum
    entry: PointEntry

    @property
    def refused(self) -> str:
        """The reason why there is no point of its own; empty if there is one."""
        return self.entry.inherits


def choose_points(
    task: ChoiceTask, strata: Sequence[PointStratum], choosing: Cases, checking: Cases
) -> list[StratumChoice]:
    """Choose and check a point for each stratum that has enough positive patients.

    The confidence of all bounds is corrected for the number of those strata (Bonferroni): that all points hold is
    certified, and not each by itself. The number of positive patients is known without any score, so that leaving out
    strata by it costs nothing.
    """
    parts = [(each, choosing.of(each), checking.of(each)) for each in strata]
    tested = sum(_few(checked) == "" for _, _, checked in parts)
    confidence = 1 - (1 - CONFIDENCE) / max(tested, 1)
    return [_choice(task, *part, confidence, max(tested, 1)) for part in parts]


def _choice(
    task: ChoiceTask, stratum: PointStratum, choosing: Cases, checking: Cases, confidence: float, strata: int
) -> StratumChoice:
    threshold, refused = None, _few(checking)
    if not refused:
        threshold = _threshold(task.rule, choosing, checking, confidence)
        refused = "" if threshold is not None else _none_holds(task.rule, choosing, confidence)
    if threshold is not None:
        refused = _not_certified(task.rule, checking, threshold, confidence)
    provenance = PointProvenance(
        by=task.by,
        at=task.at,
        rule=task.rule.text,
        confidence=confidence,
        strata=strata,
        chosen_on=None if threshold is None else choosing.record(threshold, confidence, with_images=True),
        checked_on=None if threshold is None else checking.record(threshold, confidence, with_images=False),
    )
    station = bool(stratum.station)
    entry = PointEntry(
        name=_name(task, stratum),
        model=task.card.model_id,
        model_sha256=task.card.model_sha256,
        finding=task.finding,
        stratum=stratum,
        threshold=None if refused else threshold,
        inherits=refused,
        reason=task.reason if station else "",
        expires=task.at + STATION_LASTS if station and not refused else None,
        provenance=provenance,
    )
    return StratumChoice(stratum, entry)


def _few(checking: Cases) -> str:
    found = len(checking.patients(1))
    if found >= FEWEST_POSITIVE_PATIENTS:
        return ""
    return f"{found} positive patients among the cases that check, {FEWEST_POSITIVE_PATIENTS} are needed"


def _threshold(rule: ChoiceRule, choosing: Cases, checking: Cases, confidence: float) -> float | None:
    """Return the preferred threshold whose bound holds, and is likely to hold on the cases that check.

    Where none is likely to, the likeliest. Of the cases that check only their number and labels are used.
    """
    scored, others = choosing.studies, checking.studies
    holding = [each for each in rule.candidates(scored) if rule.holds(scored, each, confidence)]
    chances = []
    for threshold in holding:
        trials = _expected_trials(rule, scored, others, threshold)
        chances.append(rule.chance(scored, threshold, trials, confidence))
        if chances[-1] >= LIKELY:
            return threshold
    return holding[chances.index(max(chances))] if holding else None


def _expected_trials(rule: ChoiceRule, scored: ScoredCohort, others: ScoredCohort, threshold: float) -> int:
    positives = int(others.positive.sum())
    if rule.name in ("sensitivity", "specificity"):
        return positives if rule.name == "sensitivity" else len(others) - positives
    among, _ = trials_at(scored, threshold, rule.name)
    return round(float(among.mean()) * len(others))


def _none_holds(rule: ChoiceRule, choosing: Cases, confidence: float) -> str:
    scored = choosing.studies
    best = max((bounds_at(scored, each, rule.name, confidence)[0] for each in rule.candidates(scored)), default=0.0)
    return (
        f"no threshold reaches {rule.text} on the {len(choosing.patients(1))} positive patients that choose: the "
        f"highest lower bound at {confidence:.4g} is {best:.3f}"
    )


def _not_certified(rule: ChoiceRule, checking: Cases, threshold: float, confidence: float) -> str:
    bound = bounds_at(checking.studies, threshold, rule.name, confidence)[0]
    if bound >= rule.limit:
        return ""
    return f"{threshold:.4g} was chosen and is not certified: on the cases that check, the lower bound is {bound:.3f}"


def _name(task: ChoiceTask, stratum: PointStratum) -> str:
    """Return a name of letters that the file allows: finding, stratum, day."""
    ages = (
        ""
        if not stratum.stratum.has_ages
        else f"{stratum.age_from:g}-" + ("" if stratum.age_below is None else f"{stratum.age_below:g}")
    )
    station = _in_a_name(stratum.station)
    parts = (task.finding[:16], stratum.view, ages, station, task.at.date().isoformat())
    return " ".join(filter(None, parts))


def _in_a_name(station: str) -> str:
    """Return a station's name in letters that the file allows, with digits of its digest where it has others."""
    kept = re.sub("[^A-Za-z0-9 ._-]", "-", station)[:16]
    return kept if kept == station else f"{kept}-{sha256(station.encode()).hexdigest()[:4]}"
