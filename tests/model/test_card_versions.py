"""Cards of other versions than this program's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_folders import write_model
from triage.model.card import CARD, ModelRefusedError, load_card
from triage.model.card_versions import SCHEMA, STEPS, LaterCardError, as_of_now


def test_there_is_a_step_from_every_version() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA))


def test_a_card_of_an_earlier_version_is_read_as_of_now_and_its_record_stays() -> None:
    def second(record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "words": [record["word"]]}

    def third(record: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in record.items() if key != "word"}

    record = {"card_schema": 1, "word": "chest"}
    assert as_of_now(record, {1: second, 2: third}, 3) == {"card_schema": 3, "words": ["chest"]}
    assert record == {"card_schema": 1, "word": "chest"}


def test_a_card_of_a_later_version_is_refused_in_words(tmp_path: Path) -> None:
    write_model(tmp_path, "tiny")
    path = tmp_path / "tiny" / CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), "card_schema": SCHEMA + 1}))
    with pytest.raises(ModelRefusedError, match="install the release that it was exported for"):
        load_card(tmp_path / "tiny")
    with pytest.raises(LaterCardError):
        as_of_now({"card_schema": SCHEMA + 1})
