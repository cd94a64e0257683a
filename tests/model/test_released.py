"""The claims of the released models' cards are those that the gate requires (docs/adr/0032)."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.gate import CHANCE, LEAST_PATIENTS
from triage.model.card import CARD, ModelCard, load_card
from triage.model.card_finding import Performance
from triage.model.registry import ADULT_FROM_YEARS, RegistryPolicy, to_be_loaded

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob(f"*/{CARD}"))


def within(card: ModelCard, view: str) -> Performance | None:
    return next((each for each in card.performance if each.cohort.endswith(f", {view} only")), None)


def is_shown(found: Performance | None) -> bool:
    """Return True if the figures within a view may be more than chance: images are at least as many as patients."""
    if found is None:
        return False
    counts = [figure.n for name, figure in found.figures.items() if name.startswith(("sensitivity", "specificity"))]
    return min(counts, default=0) >= LEAST_PATIENTS and found.figures["auc"].low > CHANCE


@pytest.mark.parametrize("name", NAMES)
def test_a_model_for_adults_is_a_demonstration_unless_it_is_shown_within_each_view(name: str) -> None:
    card = load_card(MODELS / name)
    below = card.intended_use.age_below
    if below is not None and below <= ADULT_FROM_YEARS:
        return
    if not all(is_shown(within(card, view)) for view in card.intended_use.views):
        assert card.demo


@pytest.mark.parametrize("name", NAMES)
def test_a_demonstration_says_why_and_every_other_model_does_not(name: str) -> None:
    card = load_card(MODELS / name)
    assert card.demo is any(limit.startswith("Demonstration only: ") for limit in card.limits)


def test_the_released_models_are_for_different_patients() -> None:
    cards = {name: load_card(MODELS / name) for name in NAMES}
    assert to_be_loaded(cards, RegistryPolicy(allow_demo=True)).keys() == cards.keys()
