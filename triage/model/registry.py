"""PURE: the choice of the model for an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from triage.decision.reasons import Reason
from triage.model.card import ModelCard, ModelRefusedError
from triage.radiograph.types import Rejected, View

ADULT_FROM_YEARS = 18.0


@dataclass(frozen=True)
class RegistryPolicy:
    """Decisions of the site about its models, by model name."""

    disabled: frozenset[str] = frozenset()
    shadow: frozenset[str] = frozenset()
    adult_when_age_unknown: bool = False
    allow_demo: bool = False


def usable(cards: Mapping[str, ModelCard], policy: RegistryPolicy) -> dict[str, ModelCard]:
    """Return the models that may score at all: a demo only if demonstrations are allowed, or in shadow."""
    return {name: card for name, card in cards.items() if policy.allow_demo or not card.demo or name in policy.shadow}


def to_be_loaded(
    cards: Mapping[str, ModelCard], policy: RegistryPolicy, named: Sequence[str] = ()
) -> dict[str, ModelCard]:
    """Return the models to load, of those installed. ``named``: those in the settings; empty: all.

    Raises ModelRefusedError if a named model cannot be used, if a shadow name is no model's (a misspelt model would be
    in service), and if two models in service may be for the same image: which one decides would be chance.
    """
    found = usable(cards, policy)
    if demos := sorted(set(named) - found.keys()):
        raise ModelRefusedError(
            f"models.names has {', '.join(demos)}, marked as a demonstration: name it in models.shadow too, or set "
            "models.allow_demo, which is for demonstrations only"
        )
    if unknown := sorted(policy.shadow - found.keys()):
        raise ModelRefusedError(f"models.shadow has {', '.join(unknown)}, and no such model is loaded")
    if not found:
        raise ModelRefusedError(
            "every model is a demo: set models.allow_demo for a demonstration, or install another model"
        )
    _check_one_decides([card for name, card in sorted(found.items()) if name not in policy.shadow])
    return found


def _check_one_decides(in_service: Sequence[ModelCard]) -> None:
    for first, second in combinations(in_service, 2):
        if first.overlaps(second):
            raise ModelRefusedError(
                f"{first.name} ({first.covers}) and {second.name} ({second.covers}) are both in service for the same "
                "images, and one image is scored by one model: leave one out of models.names, or name it in "
                "models.shadow"
            )


def choose(
    cards: Mapping[str, ModelCard],
    age_years: float | None,
    policy: RegistryPolicy,
    view: View = View.FRONTAL,
    station_name: str = "",
) -> ModelCard | Rejected:
    """Return the model for an image of a patient of ``age_years``, or the reason why there is none.

    A model for the view precedes one that is not (whose score will not count), one in service precedes one in shadow.
    After ``to_be_loaded`` at most one model in service is left; of those in shadow, the first by name is chosen.
    """
    candidates = usable(cards, policy)
    if age_years is None and not policy.adult_when_age_unknown:
        return Rejected(Reason.AGE_UNKNOWN, "neither Patient's Age nor a birth date with a study date")
    age = ADULT_FROM_YEARS if age_years is None else age_years
    fitting = [card for card in candidates.values() if card.covers_age(age)]
    if not fitting:
        reason = Reason.AGE_NOT_COVERED if candidates else Reason.NO_MODEL
        return Rejected(reason, f"no installed model is for a patient of {age:g} years")
    fitting = [card for card in fitting if card.covers_station(station_name)]
    if not fitting:
        return Rejected(Reason.NO_MODEL, "no installed model is for images of this Station Name")
    fitting = [card for card in fitting if card.covers_view(view)] or fitting
    enabled = [card for card in fitting if card.name not in policy.disabled]
    if not enabled:
        return Rejected(Reason.MODEL_DISABLED, f"{fitting[0].name} is switched off")
    return min(enabled, key=lambda card: (card.name in policy.shadow, card.name))


def shadow_cards(
    cards: Mapping[str, ModelCard],
    age_years: float | None,
    policy: RegistryPolicy,
    chosen: ModelCard,
    station_name: str = "",
) -> list[ModelCard]:
    """Return the shadow models that score the same image as the ``chosen`` one, by name."""
    age = ADULT_FROM_YEARS if age_years is None else age_years
    return [
        card
        for name, card in sorted(usable(cards, policy).items())
        if name in policy.shadow - policy.disabled
        and card != chosen
        and card.covers_age(age)
        and card.covers_station(station_name)
    ]
