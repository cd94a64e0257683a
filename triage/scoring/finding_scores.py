"""PURE: scores of the findings of a card, from the columns of its graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from triage.decision.findings import FindingScore
from triage.decision.operating_points import ImageFacts, SitePoints
from triage.model.backend import PluginBackend
from triage.model.calibration import at_prevalence, logistic, logit
from triage.model.card import ModelCard
from triage.model.card_finding import CardFinding, FindingRule, in_order, plugin_rules_of
from triage.plugins.statement import key_of

_LEAST = 1e-7
"""Beyond this a float32 probability is 0 or 1, and has no logit."""

CombinationRule = Callable[[Mapping[str, float]], float]
"""A rule of the kind ``plugin``: the score, 0 to 1, from those of the findings that it names."""


@dataclass(frozen=True)
class FindingPolicy:
    """Decisions of the site about findings.

    Attributes:
        operating_point: One threshold for the leading finding of every model; None: the cards' own.
        points: The site's operating points, which precede it.
        prevalence: Share of the site's patients who are positive in the leading finding, by model name.
        rules: Combination rules that the settings name, by DIST:NAME.
    """

    operating_point: float | None = None
    points: SitePoints = field(default_factory=SitePoints)
    prevalence: Mapping[str, float] = field(default_factory=dict)
    rules: Mapping[str, CombinationRule] = field(default_factory=dict)


def finding_scores(
    card: ModelCard, columns: Sequence[float], image: ImageFacts, policy: FindingPolicy, now: float
) -> tuple[FindingScore, ...] | None:
    """Return the score of each finding of ``card``, in its order; None if one is no number from 0 to 1.

    Args:
        card: The model's card.
        columns: The graph's output ``probability`` of one image.
        image: Facts that choose the operating points.
        policy: Decisions of the site.
        now: POSIX seconds, for points that expire.
    """
    found: dict[str, FindingScore] = {}
    for finding in in_order(card.findings):
        score = _score(finding, columns, found, policy)
        if not 0 <= score <= 1:
            return None
        found[finding.name] = _scored(card, finding, score, image, policy, now)
    return tuple(found[finding.name] for finding in card.findings)


def _score(
    finding: CardFinding, columns: Sequence[float], known: Mapping[str, FindingScore], policy: FindingPolicy
) -> float:
    if finding.rule is not None:
        return _combined(finding.rule, [known[name] for name in finding.rule.of], policy)
    assert finding.column is not None
    return float(columns[finding.column]) if finding.column < len(columns) else math.nan


def _combined(rule: FindingRule, parts: Sequence[FindingScore], policy: FindingPolicy) -> float:
    if rule.kind == "any":
        return logistic(max(logit(each.probability, _LEAST) - logit(each.threshold, _LEAST) for each in parts))
    if rule.kind == "logistic":
        logits = [logit(each.probability, _LEAST) for each in parts]
        return logistic(rule.intercept + sum(map(math.prod, zip(rule.weights, logits, strict=True))))
    combine = policy.rules.get(key_of(rule.plugin))
    return math.nan if combine is None else combine({each.name: each.probability for each in parts})


def _scored(
    card: ModelCard, finding: CardFinding, score: float, image: ImageFacts, policy: FindingPolicy, now: float
) -> FindingScore:
    threshold, point = _threshold(card, finding, image, policy, now)
    return FindingScore(
        name=finding.name,
        title=finding.title,
        code=finding.effective_code,
        probability=score,
        threshold=threshold,
        positive=score >= threshold,
        counts=finding.counts,
        negative_means_absent=finding.negative_means == "absent" and not _is_of_plugin(card, finding),
        point=point,
        calibrated_probability=_calibrated(card, finding, score, policy),
    )


def _threshold(
    card: ModelCard, finding: CardFinding, image: ImageFacts, policy: FindingPolicy, now: float
) -> tuple[float, str]:
    """Return the threshold in force, and the name of the site's point; empty for the card's own."""
    point = policy.points.point_for(card.model_sha256, finding.name, image, now)
    if point is not None:
        return point.threshold, point.name
    if policy.operating_point is not None and finding is card.leading:
        return policy.operating_point, "models.operating_point"
    return finding.threshold, ""


def _is_of_plugin(card: ModelCard, finding: CardFinding) -> bool:
    """Return True if a plug-in says it: its negative alone is then no absence."""
    return isinstance(card.backend, PluginBackend) or finding.name in plugin_rules_of(card.findings)


def _calibrated(card: ModelCard, finding: CardFinding, score: float, policy: FindingPolicy) -> float | None:
    """Return the probability at the site's prevalence, None where the site states none."""
    prevalence = policy.prevalence.get(card.name) if finding is card.leading else None
    if prevalence is None or finding.calibration_fit is None:
        return None
    return at_prevalence(score, finding.calibration_fit, prevalence)
