"""Combination rules of plug-ins, guarded: whatever one does, its finding has a score from 0 to 1 or none."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from triage.model.card import ModelCard, ModelRefusedError
from triage.plugins.bounded_call import BoundedCalls
from triage.plugins.load import LoadedPlugin
from triage.plugins.statement import key_of
from triage.runtime.logs import where_raised
from triage.scoring.finding_scores import CombinationRule

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NoRule:
    """Placeholder of a rule in a process that decodes and combines nothing."""

    key: str

    def __call__(self, scores: Mapping[str, float]) -> float:
        """Return NaN, no score."""
        return math.nan


class GuardedRule:
    """A rule of a plug-in. Its failures are logged, and are no score: the image is NOT_ASSESSED."""

    def __init__(self, rule: LoadedPlugin, seconds: float, on_stuck: Callable[[], object] = lambda: None) -> None:
        """Guard ``rule``, whose call may take ``seconds``; see BoundedCalls for ``on_stuck``."""
        self._rule = rule
        self._calls = BoundedCalls(f"the rule {rule.key}", seconds, on_stuck)

    def __call__(self, scores: Mapping[str, float]) -> float:
        """Return the rule's score, or NaN if it raises, does not end, or returns no number from 0 to 1."""
        given = MappingProxyType(dict(scores))
        try:
            score = float(self._calls.run(lambda: self._rule.target(given)))
        except Exception as error:  # the edge: foreign code
            logger.error("the rule %s failed, and its finding has no score: %s", self._rule.key, where_raised(error))
            return math.nan
        if not 0 <= score <= 1:
            logger.error("the rule %s returned %r, which is no number from 0 to 1", self._rule.key, score)
            return math.nan
        return score

    def __reduce__(self) -> tuple[type[NoRule], tuple[str]]:
        return NoRule, (self._rule.key,)  # foreign code stays out of the processes that decode


def check_rules(cards: Iterable[ModelCard], rules: Mapping[str, CombinationRule]) -> None:
    """Raise ModelRefusedError if a finding is made by a rule that the settings do not enable."""
    for card in cards:
        for finding in card.findings:
            if finding.rule is not None and finding.rule.plugin and key_of(finding.rule.plugin) not in rules:
                raise ModelRefusedError(
                    f"{card.name}: its finding {finding.name} is made by the rule {finding.rule.plugin}, which the "
                    "settings do not enable: put it into plugins.enabled as DIST==VERSION:NAME, or leave the model "
                    "out of models.names"
                )
