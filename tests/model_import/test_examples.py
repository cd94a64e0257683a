"""The published examples of cards and descriptions hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from triage.model.card import ModelCard
from triage.model_import.description_file import finding_mistakes, read_description
from triage.model_import.normalisation import share

ROOT = Path(__file__).parents[2]
CARDS = sorted((ROOT / "examples/cards").glob("*.json"))
DESCRIPTIONS = sorted((ROOT / "examples/models").glob("*.toml"))
PAGES = [(ROOT / "docs" / name).read_text() for name in ("reference/model-card.md", "how-to/foreign-models.md")]


def test_every_example_is_on_a_page() -> None:
    assert CARDS and DESCRIPTIONS
    assert all(any(path.name in page for page in PAGES) for path in (*CARDS, *DESCRIPTIONS))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_an_example_of_a_card_holds(path: Path) -> None:
    card = ModelCard.model_validate(json.loads(path.read_text()))
    assert card.name == path.stem
    assert (card.distribution is None) == (path.stem == "without-distance")


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: path.stem)
def test_an_example_of_a_description_has_no_mistake(path: Path) -> None:
    found = read_description(path)
    assert not found.places.readable([*found.mistakes, *finding_mistakes(found)], path)
    described = found.whole()
    assert share(described.input, 224).spec.fit == described.input.fit


def test_the_examples_are_of_each_kind() -> None:
    described = [read_description(path).whole() for path in DESCRIPTIONS]
    findings = [each for one in described for each in one.findings]
    assert {one.input.normalisation for one in described} >= {"torchxrayvision", "imagenet", "own"}
    assert {one.input.fit for one in described} == {"stretch", "letterbox", "centre_crop"}
    assert {each.kind for each in findings} >= {"logit", "softmax", "probability", None}
