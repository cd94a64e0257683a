"""A model loaded on ONNX Runtime: inputs in, probabilities and distances out. Equal inputs have equal scores."""

from __future__ import annotations

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from triage.errors import StartError
from triage.model.backend import OnnxBackend
from triage.model.card import WEIGHTS, ModelCard, ModelRefusedError
from triage.model.onnx_runtime import InferenceSession, onnxruntime
from triage.model.run_deadline import NotEndedError, RunDeadline, RunLimit
from triage.model.trial_load import LOAD_DEADLINE_S, NotLoadedError, try_to_load

FloatArray = npt.NDArray[np.float32]
Provider = Literal["cpu", "cuda"]
AT_ONCE = 16
"""Images that callers collect before they score."""
MAP = "cam"
"""The output with the activation maps, (n, h, w) or (n, m, h, w), of a graph that has one."""

PROBABILITY, DISTANCE = "probability", "distance"

IMAGES_IN_A_RUN = {"CPUExecutionProvider": 1, "CUDAExecutionProvider": AT_ONCE}
"""One shape for each provider: kernels are chosen by shape and add in another order, and the score of an image must not
depend on the number of images that came with it (docs/adr/0023)."""

_RUNS_AT_ONCE = 2
"""Runs of one image on the CPU that share the threads of a session. One alone leaves them waiting for each other at the
end of each operator; the scores are the same (docs/adr/0095)."""

_ProviderOptions = tuple[str, dict[str, str]]
_CPU: _ProviderOptions = ("CPUExecutionProvider", {})
# Convolutions are chosen by rule, not by a benchmark that each process runs anew; products are not rounded to 10 bits.
_CUDA: _ProviderOptions = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"})
_PROVIDERS: dict[Provider, list[_ProviderOptions]] = {"cpu": [_CPU], "cuda": [_CUDA, _CPU]}


_DEFAULT_LIMIT = RunLimit()


class ProviderError(StartError):
    """The configured execution provider is not the one that would run. Install it, or choose another."""


@dataclass(frozen=True)
class ModelScores:
    """Scores of n images, float32.

    Attributes:
        probability: (n, k), a column for each output that findings name.
        distance: (n,), distance from the training images in the units of the card; infinite for a model without one.
        maps: (n, m, h, w), the activation maps of the same run; None for a model without one, and where maps are off.
    """

    probability: FloatArray
    distance: FloatArray
    maps: FloatArray | None = None


class ScoringSession(Protocol):
    """A model that scores, or ``NotLoaded`` in its place."""

    @property
    def card(self) -> ModelCard:
        """The card of the model."""

    @property
    def provider(self) -> str:
        """The execution provider in use."""

    @property
    def keeps_maps(self) -> bool:
        """True if activation maps are returned."""

    def score(self, batch: FloatArray) -> ModelScores:
        """Score inputs of shape (n, 1, size, size)."""


class ModelSession:
    """One model. Reuse it: loading and warming cost seconds."""

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        *,
        provider: Provider = "cpu",
        threads: int = 0,
        maps: bool = False,
        limit: RunLimit = _DEFAULT_LIMIT,
    ) -> None:
        """Load the weights in ``folder``.

        Args:
            folder: The model folder.
            card: Its card.
            provider: The execution provider.
            threads: Threads of the session; 0 is one per core.
            maps: Return activation maps too.
            limit: Time limit of one run, of as many images as the provider takes at once.

        Raises:
            ProviderError: The provider is not there.
            ModelRefusedError: A graph that ONNX Runtime does not load (damaged, or with operators of a domain that it
                does not know), or that has other inputs and outputs than a model has.
        """
        if not isinstance(card.backend, OnnxBackend):
            raise ModelRefusedError(
                f"{card.name} lives at a server or is loaded by a plug-in, and only ONNX files are loaded here"
            )
        self.card = card
        self._size = card.preprocessing.size
        self._session = _open(folder / WEIGHTS, provider, threads)
        _check_ends(self._session, card)
        self.provider: str = self._session.get_providers()[0]
        self.keeps_maps = maps
        self.has_map = MAP in [output.name for output in self._session.get_outputs()]
        self._scores = (PROBABILITY, *((DISTANCE,) if card.distribution else ()))
        self._outputs = [*self._scores, *([MAP] if maps and self.has_map else [])]
        if self.provider != _PROVIDERS[provider][0][0]:
            raise ProviderError(
                f"worker.provider is {provider}, but {card.name} would run on {self.provider}: install onnxruntime-gpu "
                "with its CUDA libraries (pip install 'cxr-triage[gpu]') and a driver that fits, or set provider = cpu"
            )
        self._at_once = IMAGES_IN_A_RUN[self.provider]
        at_once = min(threads or len(os.sched_getaffinity(0)), _RUNS_AT_ONCE) if provider == "cpu" else 1
        self._runners = ThreadPoolExecutor(at_once, thread_name_prefix="run") if at_once > 1 else None
        self._deadline = RunDeadline(limit)

    def score(self, batch: FloatArray) -> ModelScores:
        """Score inputs of shape (n, 1, size, size), n at least 1. The scores of an input do not depend on the others.

        Raises NotEndedError if the graph does not end in time.
        """
        if batch.ndim != 4 or batch.shape[1:] != (1, self._size, self._size):
            raise ValueError(f"{self.card.name} takes (n, 1, {self._size}, {self._size}), not {batch.shape}")
        pieces = [batch[start : start + self._at_once] for start in range(0, len(batch), self._at_once)]
        runs = self._runners.map(self._run, pieces) if self._runners and len(pieces) > 1 else map(self._run, pieces)
        found = dict(zip(self._outputs, map(np.concatenate, zip(*runs, strict=True)), strict=True))
        maps = found.get(MAP)
        return ModelScores(
            found[PROBABILITY].reshape(len(batch), -1),
            found.get(DISTANCE, np.full(len(batch), np.inf, dtype=np.float32)),
            None if maps is None else maps.reshape(len(batch), -1, *maps.shape[-2:]),
        )

    def warm(self) -> None:
        """Run once, so that the first study does not wait.

        Raises NotLoadedError if that does not end in time, and ModelRefusedError for a graph that does not run.
        """
        try:
            self.score(np.zeros((1, 1, self._size, self._size), dtype=np.float32))
        except ModelRefusedError:
            raise
        except NotEndedError as error:
            raise NotLoadedError(self.card.name, str(error)) from error
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            raise ModelRefusedError(f"{self.card.name} does not run: {_first_line(error)}") from error

    def _run(self, piece: FloatArray) -> list[FloatArray]:
        count = len(piece)
        padded = np.zeros((self._at_once, *piece.shape[1:]), dtype=np.float32)
        padded[:count] = piece
        with self._deadline.run() as options:
            found = self._session.run(self._outputs, {"image": padded}, options)
        for name, output in zip(self._scores, found, strict=False):
            if not self._has_shape(name, np.shape(output)):
                raise ModelRefusedError(
                    f"{self.card.name}: output {name} has the shape {list(np.shape(output))} for {len(padded)} images"
                )
        return [np.asarray(output[:count], dtype=np.float32) for output in found]

    def _has_shape(self, output: str, shape: tuple[int, ...]) -> bool:
        """Return True if an output has a row for each image and, of probabilities, the columns that the card names."""
        if shape == (self._at_once,):
            return output == DISTANCE or self.card.columns == 1
        return output == PROBABILITY and len(shape) == 2 and shape[0] == self._at_once and shape[1] >= self.card.columns


class NotLoaded:
    """Placeholder of a model that could not be loaded and run once: each run fails like one that does not end."""

    provider = "none"
    keeps_maps = False

    def __init__(self, card: ModelCard, why: str) -> None:
        self.card = card
        self.why = why

    def score(self, batch: FloatArray) -> ModelScores:
        """Raise NotEndedError."""
        raise NotEndedError(self.why)


def check_loads(
    folder: Path, card: ModelCard, provider: Provider, threads: int, seconds: float = LOAD_DEADLINE_S
) -> None:
    """Load the weights in ``folder`` in a child and run them once there, with the map if there is one.

    Raises NotLoadedError if that does not end in ``seconds``.
    """
    try_to_load(card.name, partial(_load_and_run, folder, card, provider, threads), seconds=seconds)


def _load_and_run(folder: Path, card: ModelCard, provider: Provider, threads: int) -> None:
    limit = RunLimit(threading.TIMEOUT_MAX)  # the parent ends this process, even if a run hangs in one node
    ModelSession(folder, card, provider=provider, threads=threads, maps=True, limit=limit).warm()


def _open(weights: Path, provider: Provider, threads: int) -> InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin while there is no work would make an idle service busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider == "cpu":
        options.add_session_config_entry("session.use_env_allocators", "1")  # the arena of onnx_runtime.py
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a missing provider: the caller checks that
        try:
            session: InferenceSession = onnxruntime.InferenceSession(
                str(weights), options, providers=_PROVIDERS[provider]
            )
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            raise ModelRefusedError(f"{weights} cannot be loaded: {_first_line(error)}") from error
    session.disable_fallback()  # an error of the GPU must not become a silent run on the CPU
    return session


def _check_ends(session: InferenceSession, card: ModelCard) -> None:
    inputs = [(each.name, each.type) for each in session.get_inputs()]
    if inputs != [("image", "tensor(float)")]:
        raise ModelRefusedError(f"{card.name}: its inputs are {inputs}, not one float image called image")
    required = {PROBABILITY, DISTANCE} if card.distribution else {PROBABILITY}
    missing = sorted(required - {output.name for output in session.get_outputs()})
    if missing:
        raise ModelRefusedError(f"{card.name} has no output {' and no output '.join(missing)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:500]
