"""The folder of a model that lives at a server: what it must hold, and what its contract is."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import triage
from tests.support.inference_server import brightness, inference_server
from tests.support.model_folders import SIZE, write_remote_model
from triage.model.card import CARD, ModelRefusedError, load_card
from triage.model.known_answers import KNOWN_ANSWERS, KnownAnswers, write_known_answers
from triage.model.remote_folder import RemoteAccess, open_remote
from triage.model.subspace_file import SUBSPACE

IMAGES = np.random.default_rng(0).normal(size=(3, 1, SIZE, SIZE)).astype(np.float32)
MODEL = "http://127.0.0.1:9/v2/models/chest"


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((folder / CARD).read_text())
    change(record)
    (folder / CARD).write_text(json.dumps(record))


@pytest.mark.parametrize("name", [KNOWN_ANSWERS, SUBSPACE])
def test_both_files_are_those_of_the_card(tmp_path: Path, name: str) -> None:
    write_remote_model(tmp_path, "far")
    path = tmp_path / "far" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelRefusedError, match=f"{name} is not the file that the card describes"):
        load_card(tmp_path / "far")
    path.unlink()
    with pytest.raises(ModelRefusedError, match=f"{name} cannot be read"):
        load_card(tmp_path / "far")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda card: card["backend"].update(kind="grpc"), "backend"),
        (lambda card: card["backend"].update(batch=0), "backend.open_inference.batch"),
        (lambda card: card["backend"].update(url=MODEL), "backend.open_inference.url"),  # the site's, not the card's
        (lambda card: card["backend"].pop("distance_sha256"), "distance.npz is not the file that the card describes"),
    ],
)
def test_a_card_that_does_not_hold_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    write_remote_model(tmp_path, "far")
    changed(tmp_path / "far", change)
    with pytest.raises(ModelRefusedError, match=said):
        load_card(tmp_path / "far")


def test_findings_take_the_columns_that_their_card_says(tmp_path: Path) -> None:
    write_remote_model(tmp_path, "far")
    folder = tmp_path / "far"
    images = IMAGES + np.linspace(-1, 1, 3, dtype=np.float32)[:, None, None, None]

    def two(images: Any) -> Any:
        return np.stack([np.full(len(images), 0.5), brightness(images)], axis=1)

    write_known_answers(folder / KNOWN_ANSWERS, KnownAnswers(images, two(images).astype(np.float32)))
    digest = sha256((folder / KNOWN_ANSWERS).read_bytes()).hexdigest()
    changed(folder, lambda card: card.update(model_sha256=digest))
    card = load_card(folder)
    with pytest.raises(ModelRefusedError, match="column 0 differ by less than"):
        open_remote(folder, card, RemoteAccess(MODEL))
    second = card.findings[0].model_copy(update={"column": 1})
    with inference_server(model=two) as server:
        session = open_remote(folder, card.model_copy(update={"findings": (second,)}), RemoteAccess(server.address))
        found = session.score(IMAGES)
    np.testing.assert_allclose(found.probability, two(IMAGES), rtol=1e-6)


def test_a_model_without_a_distribution_needs_no_distance(tmp_path: Path) -> None:
    write_remote_model(tmp_path, "far")
    (tmp_path / "far" / SUBSPACE).unlink()
    changed(tmp_path / "far", lambda card: card.update(distribution=None, without_distribution="not measured"))
    changed(tmp_path / "far", lambda card: card["backend"].pop("distance_sha256"))
    with inference_server() as server:
        session = open_remote(tmp_path / "far", load_card(tmp_path / "far"), RemoteAccess(server.address))
        assert np.isinf(session.score(IMAGES).distance).all()


def test_a_program_of_a_caller_s_own_is_told_that_it_cannot_be_loaded(tmp_path: Path) -> None:
    write_remote_model(tmp_path, "far")
    with pytest.raises(ModelRefusedError, match="far lives at a server or is loaded by a plug-in, and only ONNX files"):
        triage.load_models(tmp_path / "far")
