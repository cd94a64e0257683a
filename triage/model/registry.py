"""PURE: which model is for which patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from triage.decision.reasons import Reason
from triage.model.card import ModelCard
from triage.radiograph.types import Rejected

ADULT_FROM_YEARS = 18.0


@dataclass(frozen=True)
class RegistryPolicy:
    """What the site decided about its models, by model name."""

    disabled: frozenset[str] = frozenset()
    shadow: frozenset[str] = frozenset()
    adult_when_age_unknown: bool = False
    allow_demo: bool = False


def usable(cards: Mapping[str, ModelCard], policy: RegistryPolicy) -> dict[str, ModelCard]:
    """The models that may score at all: a demo only where demonstrations are allowed."""
    return {name: card for name, card in cards.items() if policy.allow_demo or not card.demo}


def choose(cards: Mapping[str, ModelCard], age_years: float | None, policy: RegistryPolicy) -> ModelCard | Rejected:
    """The model for a patient of ``age_years``, or why there is none.

    A model in service goes before one in shadow; of several the first by name.
    """
    candidates = usable(cards, policy)
    if age_years is None and not policy.adult_when_age_unknown:
        return Rejected(Reason.AGE_UNKNOWN, "neither Patient's Age nor a birth date with a study date")
    age = ADULT_FROM_YEARS if age_years is None else age_years
    fitting = [card for card in candidates.values() if card.covers_age(age)]
    if not fitting:
        reason = Reason.AGE_NOT_COVERED if candidates else Reason.NO_MODEL
        return Rejected(reason, f"no installed model is for a patient of {age:g} years")
    enabled = [card for card in fitting if card.name not in policy.disabled]
    if not enabled:
        return Rejected(Reason.MODEL_DISABLED, f"{fitting[0].name} is switched off")
    return min(enabled, key=lambda card: (card.name in policy.shadow, card.name))


def beside(
    cards: Mapping[str, ModelCard], age_years: float | None, policy: RegistryPolicy, chosen: ModelCard
) -> list[ModelCard]:
    """The models in shadow that score the same patient beside the ``chosen`` one, by name."""
    age = ADULT_FROM_YEARS if age_years is None else age_years
    return [
        card
        for name, card in sorted(usable(cards, policy).items())
        if name in policy.shadow - policy.disabled and card != chosen and card.covers_age(age)
    ]
