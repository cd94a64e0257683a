"""Scores files without any service: what ``triage predict`` does, by the path that the service takes."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.card import ModelCard, ModelRefusedError, load_card
from triage.model.installed import installed
from triage.model.registry import RegistryPolicy, usable
from triage.model.run_deadline import NotEndedError
from triage.model.session import AT_ONCE, ModelSession, check_loads
from triage.model.trial_load import LOAD_DEADLINE_S
from triage.radiograph.types import Attributes, Rejected, View
from triage.runtime.child_pool import DecodePool, DecoderDiedError, Decoding
from triage.scoring.assess import AssessmentPolicy, Conclusion, PreparedImage, conclude, prepare

logger = logging.getLogger(__name__)

_CHUNK = AT_ONCE  # inputs in memory: one chunk is scored while the next is decoded


@dataclass(frozen=True)
class LoadedModels:
    """Model folders and their cards by model name; ``forced`` names the one that scores whatever the age."""

    folders: Mapping[str, Path]
    cards: Mapping[str, ModelCard]
    forced: str | None = None

    @classmethod
    def installed(cls, models: Path, names: tuple[str, ...] = (), policy: RegistryPolicy | None = None) -> LoadedModels:
        """Those below ``models`` that the service would load, to be chosen by age. Raises ModelRefusedError."""
        cards = installed(models, names, policy or RegistryPolicy())
        return cls({name: models / name for name in cards}, cards)

    @classmethod
    def only(cls, folder: Path) -> LoadedModels:
        """The one in ``folder``, for patients of any age. Raises ModelRefusedError."""
        card = load_card(folder.resolve())
        return cls({card.name: folder}, {card.name: card}, forced=card.name)


@dataclass(frozen=True)
class Compute:
    """What to compute with; 0 is one per core. A file whose decoding takes longer than ``decode_timeout_s`` fails,
    a model that does not load within ``load_timeout_s`` is refused.
    """

    provider: Literal["cpu", "cuda"] = "cpu"
    threads: int = 0
    decode_processes: int = 0
    decode_timeout_s: float = 60.0
    load_timeout_s: float = LOAD_DEADLINE_S


def predict(
    files: Sequence[Path], models: LoadedModels, policy: AssessmentPolicy, compute: Compute | None = None
) -> Iterator[dict[str, Any]]:
    """One record a file, in the order given: file, tag, probability, reasons, model_id, and what explains them.

    A file that cannot be read is NOT_ASSESSED like one that cannot be decoded; no file ends the others. Memory does not
    grow with their number. Raises ModelRefusedError for a forced demonstration model where none is allowed, and
    ProviderError.
    """
    if models.forced and not usable(models.cards, policy.registry):
        raise ModelRefusedError(f"{models.forced} is marked as a demonstration: models.allow_demo lets it score")
    compute = compute or Compute()
    scorer = FileScorer(models, policy, compute)
    processes = min(compute.decode_processes or os.cpu_count() or 1, len(files), _CHUNK)
    decoding = _Decoding(models.cards, policy, models.forced)
    with Decoder(decoding, max(processes, 1), compute.decode_timeout_s) as decoder:
        coming = decoder.start(files[:_CHUNK])
        for begin in range(0, len(files), _CHUNK):
            following = decoder.start(files[begin + _CHUNK : begin + 2 * _CHUNK])
            yield from scorer.records(decoder.finish(coming))
            coming = following


@dataclass(frozen=True)
class _Decoding:
    """One file up to its model input; goes to the child processes."""

    cards: Mapping[str, ModelCard]
    policy: AssessmentPolicy
    forced: str | None

    def __call__(self, path: Path) -> PreparedImage:
        try:
            data = path.read_bytes()
        except OSError as error:
            return _rejected(Reason.UNDECODABLE, f"cannot be read: {error.strerror or type(error).__name__}")
        found = prepare(data, self.cards, self.policy, model_name=self.forced, pictures=True)
        if found.rejected is None and found.model_name in self.policy.registry.disabled:
            refusal = Rejected(Reason.MODEL_DISABLED, f"{found.model_name} is switched off")
            return replace(found, rejected=refusal, model_input=None)
        return found


class Decoder:
    """Decodes as a worker does, in child processes whose time and memory are bounded.

    Bytes that crash a decoder, or keep it for ever, cost one file its score and nothing else.
    """

    def __init__(self, decoding: Callable[[Path], PreparedImage], processes: int, timeout_s: float) -> None:
        self._decoding = decoding
        self._pool = DecodePool(processes, timeout_s)

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.close()

    def start(self, paths: Sequence[Path]) -> list[tuple[Path, Decoding[PreparedImage]]]:
        """Begin; ``decoding`` must pickle."""
        return [(path, self._pool.submit(self._decoding, path)) for path in paths]

    def finish(self, started: Iterable[tuple[Path, Decoding[PreparedImage]]]) -> list[tuple[Path, PreparedImage]]:
        """What was begun, in its order."""
        return [(path, _result(decoding)) for path, decoding in started]


def _result(decoding: Decoding[PreparedImage]) -> PreparedImage:
    try:
        return decoding.result()
    except DecoderDiedError as error:
        logger.warning("a file is not decoded: %s", error)
        return _rejected(Reason.WORKER_FAILURE, str(error))
    except MemoryError:
        return _rejected(Reason.WORKER_FAILURE, "decoding it needs more memory than one file may use")


class FileScorer:
    """Scores chunks; a model is loaded when the first image is for it."""

    def __init__(self, models: LoadedModels, policy: AssessmentPolicy, compute: Compute) -> None:
        self._models = models
        self._policy = policy
        self._compute = compute
        self._sessions: dict[str, ModelSession] = {}

    def records(self, chunk: Sequence[tuple[Path, PreparedImage]]) -> Iterator[dict[str, Any]]:
        scores = self._scores([prepared for _, prepared in chunk])
        for number, (path, prepared) in enumerate(chunk):
            yield self._record(path, prepared, scores.get(number))

    def _scores(self, chunk: Sequence[PreparedImage]) -> dict[int, tuple[float, float]]:
        """Probability and distance by position in ``chunk``, of what has a model input."""
        found: dict[int, tuple[float, float]] = {}
        for name in sorted({prepared.model_name for prepared in chunk if prepared.model_input is not None}):
            inputs = {n: each.model_input for n, each in enumerate(chunk) if each.model_name == name}
            batch = np.stack([each for each in inputs.values() if each is not None])
            pairs = _one_by_one(self._session(name), batch)
            found.update(zip((n for n, each in inputs.items() if each is not None), pairs, strict=True))
        return found

    def _session(self, name: str) -> ModelSession:
        if name not in self._sessions:
            models, compute = self._models, self._compute
            folder, card = models.folders[name], models.cards[name]
            check_loads(folder, card, compute.provider, compute.threads, compute.load_timeout_s)
            self._sessions[name] = ModelSession(folder, card, provider=compute.provider, threads=compute.threads)
        return self._sessions[name]

    def _record(self, path: Path, prepared: PreparedImage, score: tuple[float, float] | None) -> dict[str, Any]:
        if score is None:
            refusal = prepared.rejected or Rejected(Reason.NO_MODEL)
            conclusion = Conclusion(Tag.NOT_ASSESSED, None, (refusal.reason,))
            return _record(path, prepared, conclusion, model_id=None, distance=None, detail=refusal.detail)
        card = self._models.cards[prepared.model_name]
        probability, distance = score
        conclusion = conclude(prepared, card, probability, distance, self._policy)
        return _record(path, prepared, conclusion, model_id=card.model_id, distance=distance, detail=conclusion.detail)


def _one_by_one(session: ModelSession, batch: npt.NDArray[np.float32]) -> list[tuple[float, float]]:
    """Probability and distance of each; together, or where a run does not end alone, and NaN where it still does not.

    ``conclude`` makes a failure of NaN.
    """
    try:
        scores = session.score(batch)
    except NotEndedError:
        if len(batch) == 1:
            return [(math.nan, math.nan)]
        return [pair for image in batch for pair in _one_by_one(session, image[np.newaxis])]
    return list(zip(scores.probability.tolist(), scores.distance.tolist(), strict=True))


def _record(
    path: Path,
    prepared: PreparedImage,
    conclusion: Conclusion,
    *,
    model_id: str | None,
    distance: float | None,
    detail: str,
) -> dict[str, Any]:
    return {
        "file": str(path),
        "tag": str(conclusion.tag),
        "probability": _finite(conclusion.probability),
        "reasons": [str(reason) for reason in conclusion.reasons],
        "model_id": model_id,
        "shadow": conclusion.shadow,
        "view": str(prepared.view),
        "age_years": prepared.attributes.age_years,
        "age_doubt": prepared.attributes.age_doubt,
        "distance": _finite(distance),
        "detail": detail,
        "study_instance_uid": prepared.attributes.study_instance_uid or None,
    }


def _finite(number: float | None) -> float | None:
    """Infinity and NaN have no JSON."""
    return number if number is not None and math.isfinite(number) else None


def _rejected(reason: Reason, detail: str) -> PreparedImage:
    return PreparedImage(Attributes(), View.UNKNOWN, rejected=Rejected(reason, detail))
