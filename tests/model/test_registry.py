"""The choice of models to load; at most one of those in service decides for each image."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_folders import write_model
from tests.support.radiographs import a_dataset, as_file
from triage.decision.reasons import Reason
from triage.model.card import ModelRefusedError
from triage.model.registry import ChosenModels, RegistryPolicy, choose, shadow_cards, to_be_loaded
from triage.radiograph.types import Rejected, View
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.scoring.predict import LoadedModels
from triage.service.models import load_sessions
from triage.settings.load import load

PLAIN = RegistryPolicy()


def use(**changes: Any) -> dict[str, Any]:
    whole = {"modalities": ["CR", "DX"], "views": ["PA", "AP"], "age_from": 18.0, "age_below": None}
    return {"intended_use": {**whole, **changes}}


def settings(models: Path, **more: str) -> Any:
    return load(None, {"TRIAGE_MODELS_PATH": str(models), "TRIAGE_WORKER_THREADS": "1", **more})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (use(), use()),
        (use(age_below=40.0), use(age_from=39.5)),
        (use(age_from=1.0, age_below=6.0), use(age_from=0.0)),
        (use(views=["PA"]), use()),
        (use(stations=["ROOM 1"]), use()),
        (use(stations=["ROOM 1", "ROOM 2"]), use(stations=[" room 2 "])),
    ],
)
def test_two_models_in_service_for_the_same_images_are_refused_and_both_named(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    cards = {"rg0": write_model(tmp_path, "rg0", **first), "rg1": write_model(tmp_path, "rg1", **second)}
    assert cards["rg0"].overlaps(cards["rg1"]) and cards["rg1"].overlaps(cards["rg0"])
    with pytest.raises(ModelRefusedError, match=r"rg0 \(brightness.*rg1 \(brightness.*models\.shadow"):
        to_be_loaded(cards, PLAIN)
    with pytest.raises(ModelRefusedError, match=r"rg0.*rg1"):
        load_sessions(settings(tmp_path))
    with pytest.raises(ModelRefusedError, match=r"rg0.*rg1"):
        LoadedModels.installed(tmp_path)
    for name in cards:
        assert to_be_loaded(cards, RegistryPolicy(shadow=frozenset({name}))).keys() == cards.keys()
    assert list(load_sessions(settings(tmp_path, TRIAGE_MODELS_SHADOW="rg1"))) == ["rg0", "rg1"]
    assert list(load_sessions(settings(tmp_path, TRIAGE_MODELS_NAMES="rg1"))) == ["rg1"]


def test_two_findings_for_the_same_images_are_refused_too(tmp_path: Path) -> None:
    """An image is scored by one model: of which finding the study's tag spoke would be chance."""
    target = {"positive_class": "a", "negative_class": "b", "negative_is_normal": False}
    cards = {
        name: write_model(tmp_path, name, target={"finding": name, **target}) for name in ("effusion", "pneumothorax")
    }
    with pytest.raises(ModelRefusedError, match=r"effusion \(effusion; ages 18 and over.*pneumothorax \(pneumothorax"):
        to_be_loaded(cards, PLAIN)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (use(age_below=40.0), use(age_from=40.0)),
        (use(views=["PA"]), use(views=["AP"])),
        (use(stations=["ROOM 1"]), use(stations=["ROOM 2"])),
    ],
)
def test_models_for_different_images_are_in_service_together(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    cards = {"a": write_model(tmp_path, "a", **first), "b": write_model(tmp_path, "b", **second)}
    assert to_be_loaded(cards, PLAIN).keys() == {"a", "b"}


def name_of(chosen: ChosenModels | Rejected) -> str:
    assert isinstance(chosen, ChosenModels), chosen
    (card,) = chosen.cards
    return card.name


def test_the_model_for_the_view_scores_an_image(tmp_path: Path) -> None:
    cards = {
        "ap": write_model(tmp_path, "ap", **use(views=["AP"])),
        "pa": write_model(tmp_path, "pa", **use(views=["PA"])),
    }
    assert name_of(choose(cards, 50.0, PLAIN, View.PA)) == "pa"
    assert name_of(choose(cards, 50.0, PLAIN, View.AP)) == "ap"
    unsaid = choose(cards, 50.0, PLAIN, View.FRONTAL)
    assert isinstance(unsaid, ChosenModels)
    assert not unsaid.cards[0].covers_view(View.FRONTAL)  # its score will not count
    off = choose(cards, 50.0, RegistryPolicy(disabled=frozenset({"pa"})), View.PA)
    assert isinstance(off, Rejected) and off.reason is Reason.MODEL_DISABLED  # and not the one for the other view


def test_the_model_for_the_station_scores_an_image_and_no_other_does(tmp_path: Path) -> None:
    cards = {
        "one": write_model(tmp_path, "one", **use(stations=["Room 1"])),
        "two": write_model(tmp_path, "two", **use(stations=["Room 2"])),
    }
    assert name_of(choose(cards, 50.0, PLAIN, View.PA, "ROOM 2 ")) == "two"
    for station in ("", "ROOM 3"):
        refused = choose(cards, 50.0, PLAIN, View.PA, station)
        assert isinstance(refused, Rejected) and refused.reason is Reason.NO_MODEL
        assert "ROOM" not in refused.detail  # no attribute's value in a reason
    shadow = RegistryPolicy(shadow=frozenset({"two"}))
    assert shadow_cards(cards, 50.0, shadow, [cards["one"]], "room 1") == []
    assert shadow_cards(cards, 50.0, shadow, [cards["one"]], "room 2") == [cards["two"]]


def test_the_station_name_of_an_object_decides(tmp_path: Path) -> None:
    cards = {"one": write_model(tmp_path, "one", **use(stations=["ROOM 1"]))}

    def reason(station: str) -> Reason | None:
        rejected = prepare(as_file(a_dataset(StationName=station)), cards, AssessmentPolicy()).rejected
        return rejected.reason if rejected else None

    assert reason("room 1") is None
    assert reason("ROOM 2") is Reason.NO_MODEL


def test_a_demonstration_that_is_named_is_an_error(tmp_path: Path) -> None:
    for name, demo in (("adult", False), ("trial", True)):
        write_model(tmp_path, name, demo=demo)
    with pytest.raises(ModelRefusedError, match=r"models\.names has trial.*demonstration"):
        load_sessions(settings(tmp_path, TRIAGE_MODELS_NAMES="adult,trial"))
    with pytest.raises(ModelRefusedError, match="nowhere"):
        load_sessions(settings(tmp_path, TRIAGE_MODELS_NAMES="adult,nowhere"))


def test_a_demonstration_that_is_not_named_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_model(tmp_path, "adult", age_below=60.0)
    write_model(tmp_path, "trial", age_from=60.0, demo=True)
    with caplog.at_level(logging.WARNING):
        assert list(load_sessions(settings(tmp_path))) == ["adult"]
    assert (
        "trial is marked as a demonstration and scores nothing without models.allow_demo: brightness; ages 60"
        in caplog.text
    )


def test_a_demonstration_in_shadow_needs_no_leave(tmp_path: Path) -> None:
    for name, demo in (("adult", False), ("trial", True)):
        write_model(tmp_path, name, demo=demo)
    both = settings(tmp_path, TRIAGE_MODELS_NAMES="adult,trial", TRIAGE_MODELS_SHADOW="trial")
    assert list(load_sessions(both)) == ["adult", "trial"]


def test_a_name_in_shadow_that_is_no_loaded_model_is_an_error(tmp_path: Path) -> None:
    """A slip of the pen would put the model that was meant into service."""
    for name in ("adult", "trial"):
        write_model(tmp_path, name, **use(age_from=60.0 if name == "trial" else 18.0))
    with pytest.raises(ModelRefusedError, match=r"models\.shadow has trail"):
        load_sessions(settings(tmp_path, TRIAGE_MODELS_SHADOW="trail"))
    with pytest.raises(ModelRefusedError, match=r"models\.shadow has trial"):
        load_sessions(settings(tmp_path, TRIAGE_MODELS_NAMES="adult", TRIAGE_MODELS_SHADOW="trial"))


def test_a_card_says_what_it_covers(tmp_path: Path) -> None:
    card = write_model(tmp_path, "a", **use(age_from=1.0, age_below=6.0, views=["AP"], stations=["ROOM 1"]))
    assert card.covers == "brightness; ages 1 to below 6; AP; stations ROOM 1"
    assert write_model(tmp_path, "b").covers == "brightness; ages 18 and over; PA, AP; any station"
