"""Files to records without any service: the work of ``triage predict``, on the path that the service takes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from triage.decision.findings import FindingScore
from triage.decision.reasons import Reason
from triage.decision.types import ModelResult
from triage.errors import cause
from triage.model.backend import OpenInferenceBackend, PluginBackend
from triage.model.card import ModelCard, ModelRefusedError, load_card
from triage.model.installed import installed
from triage.model.open_inference import InferenceError
from triage.model.plugin_session import open_plugin_model
from triage.model.registry import RegistryPolicy, usable
from triage.model.remote_folder import RemoteAccess, open_remote
from triage.model.session import AT_ONCE, ModelSession, Provider, ScoringSession, check_loads
from triage.model.trial_load import LOAD_DEADLINE_S
from triage.plugins.load import LoadedPlugin
from triage.plugins.statement import key_of
from triage.radiograph.types import Attributes, Rejected, View
from triage.runtime.child_pool import DecodePool, DecoderDiedError, Decoding
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare
from triage.scoring.conclude import combine, not_run
from triage.scoring.inference import BatchInference, FailedImage, ScoredImage, ScoredModel, failure_text
from triage.scoring.plugin_rules import check_rules

logger = logging.getLogger(__name__)

_CHUNK = AT_ONCE  # inputs in memory: one chunk is scored while the next is decoded


class FindingRecord(TypedDict):
    """The score of one finding by one model, as it is printed in JSON; ``point`` names a site's operating point.

    ``assessed`` is false where the score says nothing of the patient.
    """

    name: str
    title: str
    code: dict[str, str] | None
    probability: float
    threshold: float
    positive: bool
    counts: bool
    negative_means_absent: bool
    point: str
    calibrated_probability: float | None
    model_id: str
    assessed: bool


class PredictionRecord(TypedDict):
    """The result of one file, as it is printed in JSON."""

    file: str
    tag: str
    probability: float | None
    reasons: list[str]
    model_id: str | None
    shadow: bool
    view: str
    age_years: float | None
    age_doubt: str
    distance: float | None
    detail: str
    study_instance_uid: str | None
    station_name: str
    findings: list[FindingRecord]


@dataclass(frozen=True)
class LoadedModels:
    """Model folders and their cards by model name; ``forced`` names the one that scores whatever the age."""

    folders: Mapping[str, Path]
    cards: Mapping[str, ModelCard]
    forced: str | None = None

    @classmethod
    def installed(cls, models: Path, names: tuple[str, ...] = (), policy: RegistryPolicy | None = None) -> LoadedModels:
        """Return the models below ``models`` that the service would load, to be chosen by age.

        Raises ModelRefusedError.
        """
        found = installed(models, names, policy or RegistryPolicy())
        return cls(found.folders, found.cards)

    @classmethod
    def only(cls, folder: Path) -> LoadedModels:
        """Return the model in ``folder``, for patients of any age. Raises ModelRefusedError."""
        card = load_card(folder.resolve())
        return cls({card.name: folder}, {card.name: card}, forced=card.name)


@dataclass(frozen=True)
class Compute:
    """Resources to compute with; 0 is one per core.

    A file whose decoding takes longer than ``decode_timeout_s`` fails; a model that does not load within
    ``load_timeout_s`` is refused. ``servers`` has how to reach the server of each model that lives at one, ``loaders``
    the model loaders of plug-ins by DIST:NAME.
    """

    provider: Provider = "cpu"
    threads: int = 0
    decode_processes: int = 0
    decode_timeout_s: float = 60.0
    load_timeout_s: float = LOAD_DEADLINE_S
    servers: Mapping[str, RemoteAccess] = field(default_factory=dict)
    loaders: Mapping[str, LoadedPlugin] = field(default_factory=dict)


def predict(
    files: Sequence[Path], models: LoadedModels, policy: AssessmentPolicy, compute: Compute | None = None
) -> Iterator[PredictionRecord]:
    """Yield one record for each file, in the order given. Memory does not grow with their number.

    A file that cannot be read is NOT_ASSESSED like one that cannot be decoded; no file ends the others.

    Raises:
        ModelRefusedError: A model that cannot be used, or a forced demonstration where none is allowed.
        ProviderError: The execution provider is not there.
    """
    if models.forced and not usable(models.cards, policy.registry):
        raise ModelRefusedError(f"{models.forced} is marked as a demonstration: models.allow_demo lets it score")
    check_rules(models.cards.values(), policy.findings.rules)
    compute = compute or Compute()
    scorer = FileScorer(models, policy, compute)
    processes = min(compute.decode_processes or os.cpu_count() or 1, len(files), _CHUNK)
    decoding = _FileDecoding(models.cards, policy.for_decoding, models.forced)
    with Decoder(decoding, max(processes, 1), compute.decode_timeout_s) as decoder:
        current = decoder.start(files[:_CHUNK])
        for begin in range(0, len(files), _CHUNK):
            following = decoder.start(files[begin + _CHUNK : begin + 2 * _CHUNK])
            yield from scorer.records(decoder.finish(current))
            current = following


@dataclass(frozen=True)
class _FileDecoding:
    """Decoding of one file up to its model input; goes to the child processes."""

    cards: Mapping[str, ModelCard]
    policy: AssessmentPolicy
    forced: str | None

    def __call__(self, path: Path) -> PreparedImage:
        try:
            data = path.read_bytes()
        except OSError as error:
            return _rejected(Reason.UNDECODABLE, f"cannot be read: {cause(error)}")
        prepared = prepare(data, self.cards, self.policy, model_name=self.forced, pictures=True)
        return replace(prepared, shadow_inputs={})  # a record has no shadow scores


class Decoder:
    """Decodes as a worker does, in child processes whose time and memory are bounded.

    Bytes that crash a decoder, or that it never ends with, cost one file its score and nothing else.
    """

    def __init__(self, decoding: Callable[[Path], PreparedImage], processes: int, timeout_s: float) -> None:
        self._decoding = decoding
        self._pool = DecodePool(processes, timeout_s)

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.close()

    def start(self, paths: Sequence[Path]) -> list[tuple[Path, Decoding[PreparedImage]]]:
        """Begin to decode; ``decoding`` must pickle."""
        return [(path, self._pool.submit(self._decoding, path)) for path in paths]

    def finish(self, started: Iterable[tuple[Path, Decoding[PreparedImage]]]) -> list[tuple[Path, PreparedImage]]:
        """Return the prepared images of started files, in their order."""
        return [(path, _result(decoding)) for path, decoding in started]


def _result(decoding: Decoding[PreparedImage]) -> PreparedImage:
    try:
        return decoding.result()
    except DecoderDiedError as error:
        logger.warning("a file is not decoded: %s", error)
        return _rejected(Reason.WORKER_FAILURE, str(error))
    except MemoryError:
        return _rejected(Reason.WORKER_FAILURE, "decoding it needs more memory than one file may use")


class SessionsOnDemand(Mapping[str, ScoringSession]):
    """Sessions by model name; each is loaded when it is first used. Raises ModelRefusedError and ProviderError then."""

    def __init__(self, models: LoadedModels, compute: Compute) -> None:
        self._models = models
        self._compute = compute
        self._sessions: dict[str, ScoringSession] = {}

    def __getitem__(self, name: str) -> ScoringSession:
        if name not in self._sessions:
            self._sessions[name] = self._opened(self._models.folders[name], self._models.cards[name])
        return self._sessions[name]

    def _opened(self, folder: Path, card: ModelCard) -> ScoringSession:
        compute = self._compute
        if isinstance(card.backend, OpenInferenceBackend):
            return open_remote(folder, card, compute.servers.get(card.name))
        if isinstance(card.backend, PluginBackend):
            return open_plugin_model(
                folder, card, compute.loaders.get(key_of(card.backend.loader)), compute.load_timeout_s
            )
        check_loads(folder, card, compute.provider, compute.threads, compute.load_timeout_s)
        return ModelSession(folder, card, provider=compute.provider, threads=compute.threads)

    def __iter__(self) -> Iterator[str]:
        return iter(self._models.cards)

    def __len__(self) -> int:
        return len(self._models.cards)


class FileScorer:
    """Scores chunks of prepared files; a model is loaded when the first image is for it."""

    def __init__(self, models: LoadedModels, policy: AssessmentPolicy, compute: Compute) -> None:
        self._policy = policy
        self._inference = BatchInference(SessionsOnDemand(models, compute), policy)

    def records(self, chunk: Sequence[tuple[Path, PreparedImage]]) -> Iterator[PredictionRecord]:
        """Yield the record of each file, in order."""
        results = self._inference.run([prepared for _, prepared in chunk], self._policy.registry.disabled)
        for (path, _), result in zip(chunk, results, strict=True):
            yield _record(path, self._concluded(result) if isinstance(result, FailedImage) else result)

    def _concluded(self, failed: FailedImage) -> ScoredImage:
        """Return the conclusion of an image whose run did not end or got no answer; raise every other error."""
        if not failed.is_final and not isinstance(failed.error, InferenceError):
            raise failed.error
        if failed.partial is not None:
            return failed.partial
        refusal = Rejected(Reason.WORKER_FAILURE, failure_text(failed.card, failed.error))
        result = not_run(failed.card, refusal, shadow=failed.card.name in self._policy.registry.shadow)
        return ScoredImage(failed.prepared, combine([result]), (ScoredModel(failed.card, result),))


def _record(path: Path, scored: ScoredImage) -> PredictionRecord:
    prepared, conclusion = scored.prepared, scored.conclusion
    return {
        "file": str(path),
        "tag": str(conclusion.tag),
        "probability": conclusion.probability,
        "reasons": [str(reason) for reason in conclusion.reasons],
        "model_id": scored.card.model_id if scored.card else None,
        "shadow": conclusion.shadow,
        "view": str(prepared.view),
        "age_years": prepared.attributes.age_years,
        "age_doubt": prepared.attributes.age_doubt,
        "distance": scored.distance,
        "detail": conclusion.detail,
        "study_instance_uid": prepared.attributes.study_instance_uid or None,
        "station_name": prepared.attributes.station_name,
        "findings": [_finding(each.result, finding) for each in scored.models for finding in each.result.findings],
    }


def _finding(result: ModelResult, finding: FindingScore) -> FindingRecord:
    return {
        "name": finding.name,
        "title": finding.title,
        "code": asdict(finding.code) if finding.code else None,
        "probability": finding.probability,
        "threshold": finding.threshold,
        "positive": finding.positive,
        "counts": finding.counts,
        "negative_means_absent": finding.negative_means_absent,
        "point": finding.point,
        "calibrated_probability": finding.calibrated_probability,
        "model_id": result.model_id,
        "assessed": result.assessed,
    }


def _rejected(reason: Reason, detail: str) -> PreparedImage:
    return PreparedImage(Attributes(), View.UNKNOWN, rejected=Rejected(reason, detail))
