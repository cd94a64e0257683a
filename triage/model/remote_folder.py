"""The folder of a model that lives at a server, opened: its contract, known answers and distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triage.dicom.tls import ClientTLS
from triage.model.backend import OpenInferenceBackend
from triage.model.card import ModelCard
from triage.model.folder_check import ModelRefusedError, check_digest
from triage.model.known_answers import KNOWN_ANSWERS, read_known_answers
from triage.model.open_inference import OpenInferenceClient, TensorContract
from triage.model.remote_session import CheckOutcome, CheckTimes, RemoteSession
from triage.model.subspace_file import SUBSPACE, input_distances, read_subspace

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RemoteAccess:
    """Access of the site to the server of one model; ``timeout_s`` is for one request."""

    address: str
    timeout_s: float = 10.0
    tls: ClientTLS | None = None
    times: CheckTimes = field(default_factory=CheckTimes)


def open_remote(
    folder: Path,
    card: ModelCard,
    access: RemoteAccess | None,
    observe: Callable[[CheckOutcome], object] = lambda outcome: None,
) -> RemoteSession:
    """Return a session of the model in ``folder``; nothing is asked yet.

    Raises ModelRefusedError for a folder that is not whole, and where the site names no server (``access`` None).
    """
    backend = card.backend
    assert isinstance(backend, OpenInferenceBackend)
    if access is None:
        raise ModelRefusedError(
            f"{card.name} lives at a server, and the settings do not say at which: set open_inference.servers = "
            f'["{card.name}=https://HOST:PORT/v2/models/NAME"], or leave it out of models.names'
        )
    path = folder / KNOWN_ANSWERS
    known = read_known_answers(
        path, check_digest(path, card.model_sha256), card.preprocessing.size, finding_columns(card)
    )
    contract = TensorContract(backend.input, backend.output, backend.batch, known.columns)
    client = OpenInferenceClient(access.address, contract, access.timeout_s, access.tls)
    return RemoteSession(card, client, known, _distance(folder, card, backend), access.times, observe)


def finding_columns(card: ModelCard) -> tuple[int, ...]:
    """Return the columns of the output that findings use."""
    return tuple(sorted({each.column for each in card.findings if each.column is not None}))


def _distance(folder: Path, card: ModelCard, backend: OpenInferenceBackend) -> Callable[[FloatArray], FloatArray]:
    if card.distribution is None:
        return _no_distance
    path = folder / SUBSPACE
    subspace = read_subspace(path, check_digest(path, backend.distance_sha256 or ""))
    return partial(input_distances, subspace, mean=card.preprocessing.mean, deviation=card.preprocessing.deviation)


def _no_distance(inputs: FloatArray) -> FloatArray:
    return np.full(len(inputs), np.inf, dtype=np.float32)
