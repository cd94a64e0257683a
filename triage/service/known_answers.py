"""The folder of a model that lives at a server: made of one of this machine, or pinned to what a server says.

The known images are drawn, of no patient: two chests each as they are, with an opacity, in negative and upside down, so
that their answers differ.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triage.errors import StartError
from triage.model.backend import OpenInferenceBackend
from triage.model.card import CARD, WEIGHTS, ModelCard, ModelRefusedError, load_card, read_card
from triage.model.known_answers import KNOWN_ANSWERS, KnownAnswers, read_known_answers, write_known_answers
from triage.model.onnx_constants import subspace_in
from triage.model.open_inference import InferenceError, OpenInferenceClient, TensorContract
from triage.model.remote_folder import RemoteAccess, finding_columns
from triage.model.session import ModelSession
from triage.model.subspace_file import SUBSPACE, write_subspace
from triage.phantom.chest import draw
from triage.radiograph.preprocess import PreprocessSpec, preprocess

FloatArray = npt.NDArray[np.float32]

_NO_MAP = {"activation_map": "", "activation_column": None, "activation_grid": None}
_ROWS, _COLUMNS = 512, 480


def known_images(spec: PreprocessSpec) -> FloatArray:
    """Return eight model inputs (8, 1, size, size) of drawn chests."""
    pictures: list[FloatArray] = []
    for seed in (1, 2):
        plain = _drawn(seed)
        pictures += [plain, _drawn(seed, opacity=True, child=seed == 2), plain.max() - plain, plain[::-1].copy()]
    return np.stack([preprocess(each, np.ones(each.shape, dtype=bool), spec) for each in pictures])


def copy_for_server(model: Path, folder: Path, batch: int) -> ModelCard:
    """Make ``folder``, for a server that serves the graph of the model folder ``model`` in batches of ``batch``.

    The answers are those of the graph on this machine. Raises StartError.
    """
    card = load_card(model)
    weights = (model / WEIGHTS).read_bytes()
    subspace = subspace_in(weights)
    if card.distribution and subspace is None:
        raise ModelRefusedError(
            f"{model}: its graph has no distance of the image alone, and no other can be measured here"
        )
    images = known_images(card.preprocessing.spec())
    scores = ModelSession(model, card, threads=1).score(images)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StartError(f"{folder} cannot be made: {error}") from error
    if subspace is not None:
        write_subspace(folder / SUBSPACE, subspace)
    for name in filter(None, (card.training.patients_file, card.training.images_file)):
        shutil.copy(model / name, folder / name)
    record = card.model_dump(mode="json")
    findings = [{**each, **_NO_MAP} for each in record["findings"]]
    backend = {"kind": "open_inference", "batch": batch}
    return _finished(
        folder, {**record, "name": folder.name, "findings": findings, "backend": backend}, images, scores.probability
    )


def pin_to_server(folder: Path, access: RemoteAccess | None, columns: int) -> ModelCard:
    """Take what the server says now as the known answers of the draft in ``folder``, a card with its ``backend``.

    ``columns``: those of the server's output. Raises StartError.
    """
    card = read_card(folder)
    if not isinstance(card.backend, OpenInferenceBackend):
        raise StartError(f"{folder}: its card does not say that the model lives at a server (backend)")
    if access is None:
        raise StartError(f"open_inference.servers does not say where {card.name} lives")
    if (folder / KNOWN_ANSWERS).exists():
        raise StartError(f"{folder} has known answers: remove {KNOWN_ANSWERS} if the model was validated anew")
    backend = card.backend
    contract = TensorContract(backend.input, backend.output, backend.batch, columns)
    client = OpenInferenceClient(access.address, contract, access.timeout_s, access.tls)
    images = known_images(card.preprocessing.spec())
    try:
        said = _answers(client, images)
    except InferenceError as error:
        raise StartError(f"{card.name}: its server {error}") from error
    return _finished(folder, json.loads((folder / CARD).read_bytes()), images, said)


def _answers(client: OpenInferenceClient, images: FloatArray) -> FloatArray:
    batch = client.contract.batch
    numbers = np.arange(-(-len(images) // batch) * batch).reshape(-1, batch) % len(images)
    return np.concatenate([client.infer(images[each]).probability for each in numbers])[: len(images)]


def _finished(folder: Path, record: Mapping[str, Any], images: FloatArray, said: FloatArray) -> ModelCard:
    """Write the known answers and the card with both digests. Raises ModelRefusedError if they would prove nothing."""
    path = folder / KNOWN_ANSWERS
    write_known_answers(path, KnownAnswers(images, said))
    distance = {"distance_sha256": _digest(folder / SUBSPACE)} if (folder / SUBSPACE).exists() else {}
    whole = {**record, "model_sha256": _digest(path), "backend": {**record["backend"], **distance}}
    (folder / CARD).write_text(json.dumps(whole, indent=1) + "\n")
    card = load_card(folder)
    try:
        read_known_answers(path, path.read_bytes(), card.preprocessing.size, finding_columns(card))
    except ModelRefusedError:
        path.unlink()
        raise
    return card


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _drawn(seed: int, **build: bool) -> FloatArray:
    return draw(seed, rows=_ROWS, columns=_COLUMNS, **build).astype(np.float32)
