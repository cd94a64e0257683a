"""A model folder whose card does not hold is refused, and the message says which and why."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_folders import write_model
from triage.errors import StartError
from triage.model.card import CARD, WEIGHTS, ModelRefusedError, load_card, load_cards
from triage.service.models import load_sessions
from triage.settings.load import load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path, "tiny")
    return tmp_path / "tiny"


def change(folder: Path, dotted: str, value: Any) -> None:
    """Set one value of the card, anywhere in it; ... removes it."""
    record = json.loads((folder / CARD).read_text())
    *parents, name = dotted.split(".")
    place = record
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    (folder / CARD).write_text(json.dumps(record))


def test_a_card_that_holds_is_loaded(folder: Path) -> None:
    card = load_card(folder)
    assert (card.model_id, card.covers_age(18.0), card.covers_age(17.9)) == ("tiny 1", True, False)


def test_a_card_of_before_licences_were_asked_for_holds_and_knows_none(folder: Path) -> None:
    assert load_card(folder).licence is None
    change(folder, "licence", {"weights": "Apache-2.0", "commercial": True, "because": "drawn by us"})
    assert load_card(folder).licence is not None


def test_other_weights_than_the_card_s_are_refused(folder: Path) -> None:
    with (folder / WEIGHTS).open("ab") as weights:
        weights.write(b"\0")
    with pytest.raises(ModelRefusedError, match=r"model\.onnx is not the file that the card describes"):
        load_card(folder)


@pytest.mark.parametrize(
    ("dotted", "value", "named"),
    [
        ("colour", "red", "colour"),
        ("target.colour", "red", "findings.0.colour"),
        ("preprocessing.crop", True, "preprocessing.crop"),
        ("demo", ..., "demo"),
        ("distribution.limit", ..., "distribution.limit"),
        ("card_schema", 0, "card_schema"),
        ("model_sha256", "abc", "model_sha256"),
        ("name", "../tiny", "name"),
        ("preprocessing.size", 4, "preprocessing.*size"),
        ("preprocessing.deviation", 0, "preprocessing.*deviation"),
        ("preprocessing.fit", "crop", "preprocessing.fit"),
        ("distribution.limit", float("nan"), "distribution.limit"),
        ("distribution.limit", float("inf"), "distribution.limit"),
        ("intended_use.views", ["LL"], "intended_use.views"),
        ("intended_use.age_below", 18, "intended_use.*age_below"),
        ("intended_use.age_from", -1, "intended_use.age_from"),
        ("licence", "Apache-2.0", "licence"),
        ("licence", {"weights": "Apache-2.0", "because": ""}, "licence.commercial"),
        (
            "operating_points",
            [{"name": "a", "threshold": 1.5, "chosen": "so"}],
            "findings.0.operating_points.1.threshold",
        ),
    ],
)
def test_a_card_that_does_not_hold_is_refused_and_the_key_named(
    folder: Path, dotted: str, value: Any, named: str
) -> None:
    change(folder, dotted, value)
    with pytest.raises(ModelRefusedError, match=f"{CARD} does not hold: {named}"):
        load_card(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"card"'])
def test_a_card_that_is_no_card_is_refused(folder: Path, text: str) -> None:
    (folder / CARD).write_text(text)
    with pytest.raises(ModelRefusedError, match="tiny"):
        load_card(folder)


@pytest.mark.parametrize("missing", [CARD, WEIGHTS])
def test_an_incomplete_folder_is_refused(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelRefusedError, match=missing):
        load_card(folder)


def test_a_folder_is_named_like_its_model(folder: Path) -> None:
    with pytest.raises(ModelRefusedError, match="named like its model"):
        load_card(folder.rename(folder.with_name("other")))


@pytest.mark.parametrize("name", ["../tiny/card.json", "/etc/hostname", "list.txt", ".."])
@pytest.mark.parametrize("what", ["patients", "images"])
def test_a_list_is_a_file_of_the_folder_with_its_digest(folder: Path, what: str, name: str) -> None:
    (folder / "list.txt").write_text("1\n")
    change(folder, f"training.{what}_file", name)
    change(folder, f"training.{what}_sha256", "0" * 64)
    with pytest.raises(ModelRefusedError, match=f"{what}_file must be a plain|list.txt|cannot be read"):
        load_card(folder)


def test_models_are_loaded_by_name_or_all(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_model(tmp_path, name)
    (tmp_path / "notes").mkdir()
    assert list(load_cards(tmp_path)) == ["a", "b"]
    assert list(load_cards(tmp_path, ("b",))) == ["b"]
    with pytest.raises(ModelRefusedError, match="c"):
        load_cards(tmp_path, ("c",))
    with pytest.raises(ModelRefusedError, match="holds no model"):
        load_cards(tmp_path / "notes")
    with pytest.raises(ModelRefusedError, match=r"models\.path"):
        load_cards(tmp_path / "nowhere")


def test_a_service_with_only_demonstrations_does_not_start_unless_told_to(tmp_path: Path) -> None:
    write_model(tmp_path, "demo", demo=True)
    environment = {"TRIAGE_MODELS_PATH": str(tmp_path), "TRIAGE_WORKER_THREADS": "1"}
    with pytest.raises(StartError, match="demo"):
        load_sessions(load(None, environment))
    assert list(load_sessions(load(None, {**environment, "TRIAGE_MODELS_ALLOW_DEMO": "true"}))) == ["demo"]


EFFUSION = {"value": "60046008", "scheme": "SCT", "meaning": "Pleural effusion"}


@pytest.mark.parametrize(
    ("findings", "says"),
    [
        (
            [{"name": "effusion"}, {"name": "fluid", "code": EFFUSION}],
            "effusion and fluid have one code, 60046008 of SCT",
        ),
        ([{"name": "mild", "column": 0}, {"name": "severe", "column": 0}], "mild and severe are both column 0"),
        ([{"name": "mass", "title": "Mass\nOBX|2"}], "one line of printable characters"),
        ([{"name": "mass", "code": {**EFFUSION, "value": "6|4"}}], "'6|4' is no code of SCT"),
        (
            [{"name": "mass", "code": {**EFFUSION, "meaning": "Mass"}}],
            "is the code of 'Pleural effusion', not of 'Mass'",
        ),
        ([{"name": "mass", "counts": "no"}], "counts: Input should be a valid boolean"),
        ([{"name": "mass", "column": "0"}], "column: Input should be a valid integer"),
        ([{"name": "mass", "column": True}], "column: Input should be a valid integer"),
    ],
)
def test_findings_that_a_receiver_would_mix_up_or_that_say_something_else_are_refused(
    tmp_path: Path, findings: list[dict[str, Any]], says: str
) -> None:
    with pytest.raises(ModelRefusedError, match=re.escape(says)):
        write_model(tmp_path, "mixed", findings=findings)


@pytest.mark.parametrize("threshold", [True, "0.5", 0, 1, -0.1])
def test_a_threshold_that_is_none_is_refused(tmp_path: Path, threshold: object) -> None:
    points = [{"name": "default", "threshold": threshold, "chosen": "fixed"}]
    with pytest.raises(ModelRefusedError, match="threshold"):
        write_model(tmp_path, "odd", findings=[{"name": "mass", "operating_points": points}])


def test_a_finding_under_two_names_is_still_one_of_one_patient(tmp_path: Path) -> None:
    first = write_model(tmp_path, "first", findings=[{"name": "effusion"}])
    second = write_model(tmp_path, "second", findings=[{"name": "fluid", "code": EFFUSION}])
    third = write_model(tmp_path, "third", findings=[{"name": "mass"}])
    assert first.overlaps(second) and second.overlaps(first) and not first.overlaps(third)


def test_a_card_that_is_nested_too_deeply_is_refused(folder: Path) -> None:
    (folder / CARD).write_text("[" * 100_000)
    with pytest.raises(ModelRefusedError, match="cannot be read"):
        load_card(folder)


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_pipe_in_the_place_of_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelRefusedError, match="is no file"):
        load_card(folder)
