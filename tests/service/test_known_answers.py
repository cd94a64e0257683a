"""`triage models known-answers`: a folder for a server, of a graph of this machine or of what the server says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.model.test_onnx_constants import network
from tests.support.inference_server import InferenceServer, inference_server
from tests.support.model_folders import write_model, write_remote_model
from triage.cli import triage
from triage.model.card import CARD, WEIGHTS, ModelCard, load_card
from triage.model.distribution import fit
from triage.model.known_answers import KNOWN_ANSWERS
from triage.model.remote_folder import RemoteAccess, open_remote
from triage.model.session import ModelSession
from triage.model.wrapping import Wrapping, wrap

SIZE = 48


def released(models: Path) -> ModelCard:
    """A folder with a graph as the export makes it: of a network, with its distance."""
    card = write_model(models, "near", size=SIZE)
    images = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE), dtype=np.uint8)
    graph = wrap([network()], Wrapping(card.preprocessing.spec(), SIZE, flips=False, subspace=fit(images)))
    (models / "near" / WEIGHTS).write_bytes(graph.SerializeToString())
    return with_digest(models / "near", WEIGHTS)


def with_digest(folder: Path, name: str) -> ModelCard:
    from hashlib import sha256

    record = json.loads((folder / CARD).read_text())
    record["model_sha256"] = sha256((folder / name).read_bytes()).hexdigest()
    (folder / CARD).write_text(json.dumps(record))
    return load_card(folder)


@contextmanager
def serving(session: ModelSession) -> Iterator[InferenceServer]:
    with inference_server(model=lambda images: session.score(images).probability) as server:
        yield server


def run(*arguments: str, **settings: str) -> str:
    found = CliRunner().invoke(triage, ["models", "known-answers", *arguments], env=settings)
    return found.output if found.exit_code == 0 else f"{found.exit_code}: {found.output}"


def test_a_folder_of_this_machine_becomes_one_for_a_server_that_says_the_same(tmp_path: Path) -> None:
    session = ModelSession(tmp_path / "near", released(tmp_path), threads=1)
    far = tmp_path / "far"
    said = run(str(far), "--like", str(tmp_path / "near"), "--batch", "3")
    card = load_card(far)
    assert said.strip().endswith(f"known answers {card.model_sha256}") and card.name == "far"
    inputs = np.random.default_rng(1).normal(size=(5, 1, SIZE, SIZE)).astype(np.float32)
    with serving(session) as server:
        found, told = open_remote(far, card, RemoteAccess(server.address)).score(inputs), session.score(inputs)
    np.testing.assert_allclose(found.probability, told.probability, atol=1e-6)
    np.testing.assert_allclose(found.distance, told.distance, rtol=1e-3)
    assert "cannot be made" in run(str(far), "--like", str(tmp_path / "near"))


def test_a_graph_whose_distance_cannot_be_read_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "near")
    assert "its graph has no distance of the image alone" in run(
        str(tmp_path / "far"), "--like", str(tmp_path / "near")
    )
    assert not (tmp_path / "far").exists()


def test_what_a_server_says_is_pinned_once(tmp_path: Path) -> None:
    write_remote_model(tmp_path, "far")
    (tmp_path / "far" / KNOWN_ANSWERS).unlink()
    with inference_server() as server:
        settings = {"TRIAGE_OPEN_INFERENCE_SERVERS": f"far={server.address}"}
        assert "known answers" in run(str(tmp_path / "far"), **settings)
        assert open_remote(tmp_path / "far", load_card(tmp_path / "far"), RemoteAccess(server.address)).check()
        assert "remove known_answers.npz if the model was validated anew" in run(str(tmp_path / "far"), **settings)


@pytest.mark.parametrize(
    ("servers", "said"),
    [("", "open_inference.servers does not say where far lives"), ("far={address}", "differ by less than 0.01")],
)
def test_a_draft_that_cannot_be_pinned_stays_one(tmp_path: Path, servers: str, said: str) -> None:
    write_remote_model(tmp_path, "far")
    (tmp_path / "far" / KNOWN_ANSWERS).unlink()
    with inference_server(model=lambda images: np.full(len(images), 0.5)) as server:
        settings = {"TRIAGE_OPEN_INFERENCE_SERVERS": servers.format(address=server.address)} if servers else {}
        assert said in run(str(tmp_path / "far"), **settings)
    assert not (tmp_path / "far" / KNOWN_ANSWERS).exists()
