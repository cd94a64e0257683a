"""Prepared images to conclusions, in batches: the path that the service and ``triage predict`` share."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triage.decision.reasons import Reason
from triage.decision.types import ActivationMap, ModelResult, ShadowScore, Tag
from triage.errors import TriageError, cause
from triage.model.activation_map import encode_map
from triage.model.card import ModelCard
from triage.model.run_deadline import NotEndedError
from triage.model.session import ModelScores, ScoringSession
from triage.radiograph.types import Rejected
from triage.runtime.logs import where_raised
from triage.scoring.assess import AssessmentPolicy, PreparedImage
from triage.scoring.conclude import Conclusion, combine, conclude, leading, not_run

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ScoredModel:
    """The result of one model for one image.

    ``activation_map``: of the leading finding, from the run that gave its score; where there is none, ``no_map`` may
    say why. ``seconds``: the image's share of the run.
    """

    card: ModelCard
    result: ModelResult
    activation_map: ActivationMap | None = None
    no_map: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """One image and its conclusion. ``models``: one for each that the patient requires; none if it was rejected."""

    prepared: PreparedImage
    conclusion: Conclusion
    models: tuple[ScoredModel, ...] = ()
    shadow_scores: tuple[ShadowScore, ...] = ()

    @property
    def leading(self) -> ScoredModel | None:
        """The model that gave the tag, None for an image that was rejected before any model."""
        if not self.models:
            return None
        lead = leading([each.result for each in self.models])
        return next(each for each in self.models if each.result is lead)

    @property
    def card(self) -> ModelCard | None:
        """The card of the leading model."""
        return self.leading.card if self.leading else None

    @property
    def distance(self) -> float | None:
        """Distance by the leading model, None if it is not finite."""
        return self.leading.result.distance if self.leading else None


@dataclass(frozen=True, eq=False)
class FailedImage:
    """One image of which a model's run failed although it was alone in it.

    ``partial``: the image with the results of the other models and the failure of this one; None without others.
    """

    prepared: PreparedImage
    card: ModelCard
    error: Exception
    partial: ScoredImage | None = None

    @property
    def is_final(self) -> bool:
        """True if another run would take as long and end alike."""
        return isinstance(self.error, NotEndedError)


@dataclass(frozen=True, eq=False)
class _FailedRun:
    card: ModelCard
    error: Exception


class BatchInference:
    """Run prepared images on model sessions, and conclude."""

    def __init__(
        self,
        sessions: Mapping[str, ScoringSession],
        policy: AssessmentPolicy,
        observe_batch: Callable[[int], object] = lambda images: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``sessions`` by model name; ``observe_batch`` is called with the number of images of each run."""
        self._now = now
        self._sessions = sessions
        self._policy = policy
        self._observe_batch = observe_batch

    def run(
        self, images: Sequence[PreparedImage], disabled: Collection[str] = frozenset()
    ) -> list[ScoredImage | FailedImage]:
        """Return one result for each image, in their order.

        Args:
            images: Rejected ones are concluded without a run.
            disabled: Names of models that were switched off since the images were prepared.
        """
        images = [_without_disabled(each, disabled) for each in images]
        outcomes: list[list[ScoredModel | _FailedRun]] = [[] for _ in images]
        for name in sorted({name for image in images for name in image.model_inputs}):
            numbers = [number for number, image in enumerate(images) if name in image.model_inputs]
            runs = self._run_model(name, [images[number] for number in numbers])
            for number, outcome in zip(numbers, runs, strict=True):
                outcomes[number].append(outcome)
        return [self._assembled(*each) for each in zip(images, outcomes, strict=True)]

    def _assembled(
        self, image: PreparedImage, outcomes: Sequence[ScoredModel | _FailedRun]
    ) -> ScoredImage | FailedImage:
        """Return the result of an image from the outcomes of its models."""
        if not outcomes:
            return _rejected(image)
        failed = next((each for each in outcomes if isinstance(each, _FailedRun)), None)
        models = [self._failed(each) if isinstance(each, _FailedRun) else each for each in outcomes]
        models += [ScoredModel(card, not_run(card, refusal)) for card, refusal in self._refused(image)]
        if failed is not None and len(models) == 1:
            return FailedImage(image, failed.card, failed.error)
        scored = ScoredImage(
            image,
            combine([each.result for each in models]),
            tuple(models),
            tuple(self._score_in_shadow(image, name) for name in sorted(image.shadow_inputs)),
        )
        return scored if failed is None else FailedImage(image, failed.card, failed.error, scored)

    def _refused(self, image: PreparedImage) -> list[tuple[ModelCard, Rejected]]:
        return [(self._sessions[name].card, refusal) for name, refusal in sorted(image.refused.items())]

    def _failed(self, run: _FailedRun) -> ScoredModel:
        refusal = Rejected(Reason.WORKER_FAILURE, failure_text(run.card, run.error))
        return ScoredModel(run.card, not_run(run.card, refusal, shadow=run.card.name in self._policy.registry.shadow))

    def _run_model(self, name: str, batch: Sequence[PreparedImage]) -> Iterator[ScoredModel | _FailedRun]:
        """Score images of one model. Where the run of several fails, each is run alone."""
        session, started = self._sessions[name], time.perf_counter()
        try:
            scores = session.score(np.stack([image.model_inputs[name] for image in batch]))
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            if len(batch) == 1:
                yield _FailedRun(session.card, error)
                return
            for image in batch:
                yield from self._run_model(name, [image])
            return
        seconds = (time.perf_counter() - started) / len(batch)
        self._observe_batch(len(batch))
        for position, image in enumerate(batch):
            yield replace(self._scored(session, image, scores, position), seconds=seconds)

    def _scored(self, session: ScoringSession, image: PreparedImage, scores: ModelScores, position: int) -> ScoredModel:
        columns, distance = scores_at(scores, position)
        activation_map, no_map = _map_at(session, image, scores, position)
        result = conclude(image, session.card, columns, distance, self._policy, self._now())
        return ScoredModel(session.card, result, activation_map, no_map)

    def _score_in_shadow(self, image: PreparedImage, name: str) -> ShadowScore:
        """Return the score of a model in shadow. Its failure is recorded in the score, and changes nothing else."""
        session, started = self._sessions[name], time.perf_counter()
        try:
            columns, distance = scores_at(session.score(image.shadow_inputs[name][np.newaxis]), 0)
        except Exception as error:  # the edge: a model on trial
            logger.error("the model %s, in shadow, failed on an image: %s", name, where_raised(error))
            columns, distance = (), math.nan
        conclusion = conclude(image, session.card, columns, distance, self._policy, self._now())
        return ShadowScore(
            model_id=session.card.model_id,
            model_digest=session.card.model_sha256,
            tag=conclusion.tag,
            probability=conclusion.probability,
            reasons=conclusion.reasons,
            distance=conclusion.distance,
            distance_limit=session.card.distance_limit,
            seconds=time.perf_counter() - started,
        )


def _without_disabled(image: PreparedImage, disabled: Collection[str]) -> PreparedImage:
    """Return the image without the inputs of disabled models, and rejected if it has no other."""
    off = sorted(disabled & image.model_inputs.keys())
    refused = {name: Rejected(Reason.MODEL_DISABLED, f"{name} is switched off") for name in off}
    inputs = {name: values for name, values in image.model_inputs.items() if name not in refused}
    if off and not inputs:
        return replace(image, model_inputs={}, shadow_inputs={}, rejected=refused[off[0]])
    shadow_inputs = {name: values for name, values in image.shadow_inputs.items() if name not in disabled}
    return replace(image, model_inputs=inputs, refused=image.refused | refused, shadow_inputs=shadow_inputs)


def _rejected(image: PreparedImage) -> ScoredImage:
    assert image.rejected is not None
    return ScoredImage(
        image, Conclusion(Tag.NOT_ASSESSED, None, (image.rejected.reason,), detail=image.rejected.detail)
    )


def failure_text(card: ModelCard, error: Exception) -> str:
    """Return why a model's run failed: it names the model, and no value of the image."""
    text = str(error) if isinstance(error, TriageError) else cause(error)
    return text if card.name in text else f"{card.name} {text}"


def scores_at(scores: ModelScores, position: int) -> tuple[tuple[float, ...], float]:
    """Return the columns of one image, and its distance."""
    return tuple(map(float, scores.probability[position])), float(scores.distance[position])


def _map_at(
    session: ScoringSession, image: PreparedImage, scores: ModelScores, position: int
) -> tuple[ActivationMap | None, str]:
    """Return the activation map of one image, and without one the reason, empty where maps are switched off."""
    if not session.keeps_maps:
        return None, ""
    if scores.maps is None:
        return None, f"{session.card.model_id} has no activation map"
    card = session.card
    column = card.leading.activation_column
    if column is None or column >= len(scores.maps[position]):
        return None, f"{card.model_id} has no activation map of {card.leading.title}"
    cells, spec = scores.maps[position][column], card.preprocessing.spec()
    found = encode_map(cells, spec, card.activation_grid, image.content, image.aspect)
    return found, "" if found else "the map had values that are no numbers"
