"""PURE: the choice of the model for an image."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from triage.decision.reasons import Reason
from triage.model.card import ModelCard, ModelRefusedError
from triage.model.serving_range import ServingRange
from triage.model.versions import RegistryHistory
from triage.radiograph.types import Rejected, View

ADULT_FROM_YEARS = 18.0


@dataclass(frozen=True)
class RegistryPolicy:
    """Decisions of the site about its models, by model name.

    ``serve``: patients, views and stations that a model serves, where the site narrows them. ``history``: the acts of
    persons on versions.
    """

    disabled: frozenset[str] = frozenset()
    shadow: frozenset[str] = frozenset()
    adult_when_age_unknown: bool = False
    allow_demo: bool = False
    serve: Mapping[str, ServingRange] = field(default_factory=dict)
    history: RegistryHistory = field(default_factory=RegistryHistory)


def usable(cards: Mapping[str, ModelCard], policy: RegistryPolicy) -> dict[str, ModelCard]:
    """Return the models that may score at all: a demo only if demonstrations are allowed, or in shadow."""
    return {name: card for name, card in cards.items() if policy.allow_demo or not card.demo or name in policy.shadow}


def to_be_loaded(
    cards: Mapping[str, ModelCard], policy: RegistryPolicy, named: Sequence[str] = ()
) -> dict[str, ModelCard]:
    """Return the models to load, of those installed. ``named``: those in the settings; empty: all.

    Raises ModelRefusedError if a named model cannot be used, if a shadow name is no model's (a misspelt model would be
    in service), and if two models in service have a finding of one image in common: which one decides would be chance.
    """
    found = to_be_loaded_alone(cards, policy, named)
    check_one_decides(found, policy.shadow)
    return found


def to_be_loaded_alone(
    cards: Mapping[str, ModelCard], policy: RegistryPolicy, named: Sequence[str] = ()
) -> dict[str, ModelCard]:
    """Return the models to load, each looked at alone; see ``to_be_loaded``. Raises ModelRefusedError."""
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
    return found


def check_one_decides(cards: Mapping[str, ModelCard], shadow: Collection[str]) -> None:
    """Raise ModelRefusedError if two models in service have a finding of one image in common."""
    in_service = [card for name, card in sorted(cards.items()) if name not in shadow]
    for first, second in combinations(in_service, 2):
        if first.overlaps(second):
            raise ModelRefusedError(
                f"{first.name} ({first.covers}) and {second.name} ({second.covers}) are both in service for the same "
                "images, and one finding of one image is scored by one model: leave one out of models.names, narrow "
                "what each serves (models.serve), or name it in models.shadow"
            )


@dataclass(frozen=True)
class ChosenModels:
    """Models for an image: those in service that the patient requires, or one in shadow.

    Attributes:
        cards: Cards of the models that score, at least one, by name.
        refused: Required models that must not score, by name, each with the reason.
    """

    cards: tuple[ModelCard, ...]
    refused: Mapping[str, Rejected] = field(default_factory=dict)


def choose(
    cards: Mapping[str, ModelCard],
    age_years: float | None,
    policy: RegistryPolicy,
    view: View = View.FRONTAL,
    station_name: str = "",
) -> ChosenModels | Rejected:
    """Return the models for an image of a patient of ``age_years``, or the reason why there is none.

    Each finding that a model in service has for this patient is scored by one model: one for the view precedes one that
    is not (whose score will not count). A model in shadow is chosen only where none is in service; of several the first
    by name. After ``to_be_loaded`` no two models in service have a finding of one image in common.
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
    in_service = [card for card in fitting if card.name not in policy.shadow]
    required = _one_for_each_finding(in_service, view)
    enabled = tuple(card for card in required if card.name not in policy.disabled)
    if enabled:
        return ChosenModels(enabled, {card.name: _switched_off(card) for card in required if card not in enabled})
    in_shadow = [card for card in fitting if card.name in policy.shadow - policy.disabled]
    if in_shadow:
        return ChosenModels((_first_for(in_shadow, view),))
    return _switched_off((*required, *fitting)[0])


def _one_for_each_finding(cards: Sequence[ModelCard], view: View) -> list[ModelCard]:
    """Return the model of each finding, by name."""
    findings = {finding.name for card in cards for finding in card.findings}
    chosen = {
        card.name: card
        for name in findings
        for card in [_first_for([each for each in cards if name in {f.name for f in each.findings}], view)]
    }
    return [chosen[name] for name in sorted(chosen)]


def _first_for(cards: Sequence[ModelCard], view: View) -> ModelCard:
    """Return the first by name, of those for the view if there is one."""
    return min(cards, key=lambda card: (not card.covers_view(view), card.name))


def _switched_off(card: ModelCard) -> Rejected:
    return Rejected(Reason.MODEL_DISABLED, f"{card.name} is switched off")


def shadow_cards(
    cards: Mapping[str, ModelCard],
    age_years: float | None,
    policy: RegistryPolicy,
    chosen: Collection[ModelCard],
    station_name: str = "",
) -> list[ModelCard]:
    """Return the shadow models that score the same image as the ``chosen`` ones, by name."""
    age = ADULT_FROM_YEARS if age_years is None else age_years
    return [
        card
        for name, card in sorted(usable(cards, policy).items())
        if name in policy.shadow - policy.disabled
        and card not in chosen
        and card.covers_age(age)
        and card.covers_station(station_name)
    ]
