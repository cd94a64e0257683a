"""Prepared images to conclusions, in batches: the path that the service and ``triage predict`` share."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triage.decision.reasons import Reason
from triage.decision.types import ActivationMap, ShadowScore, Tag
from triage.model.activation_map import encode_map
from triage.model.card import ModelCard
from triage.model.run_deadline import NotEndedError
from triage.model.session import ModelScores, ScoringSession
from triage.radiograph.types import FloatImage, Rejected
from triage.runtime.logs import where_raised
from triage.scoring.assess import AssessmentPolicy, Conclusion, PreparedImage, conclude

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """One image and its conclusion.

    ``card``: the card of the model that scored it, None for an image that was rejected before. ``distance``: in the
    units of the card's limit, None if it is not finite. ``activation_map``: from the run that gave the probability;
    where there is none, ``no_map`` may say why. ``seconds``: the image's share of the run.
    """

    prepared: PreparedImage
    conclusion: Conclusion
    card: ModelCard | None = None
    distance: float | None = None
    activation_map: ActivationMap | None = None
    no_map: str = ""
    shadow_scores: tuple[ShadowScore, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class FailedImage:
    """One image whose run failed although it was alone in it."""

    prepared: PreparedImage
    card: ModelCard
    error: Exception

    @property
    def is_final(self) -> bool:
        """True if another run would take as long and end alike."""
        return isinstance(self.error, NotEndedError)


class BatchInference:
    """Run prepared images on model sessions, and conclude."""

    def __init__(
        self,
        sessions: Mapping[str, ScoringSession],
        policy: AssessmentPolicy,
        observe_batch: Callable[[int], object] = lambda images: None,
    ) -> None:
        """``sessions`` by model name; ``observe_batch`` is called with the number of images of each run."""
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
        results: dict[int, ScoredImage | FailedImage] = {
            number: _rejected(image) for number, image in enumerate(images) if image.model_input is None
        }
        for name in sorted({image.model_name for image in images if image.model_input is not None}):
            numbers = [number for number, image in enumerate(images) if image.model_name == name]
            outcomes = self._run_model(self._sessions[name], [images[number] for number in numbers])
            results.update(zip(numbers, outcomes, strict=True))
        return [results[number] for number in range(len(images))]

    def _run_model(
        self, session: ScoringSession, batch: Sequence[PreparedImage]
    ) -> Iterator[ScoredImage | FailedImage]:
        """Score images of one model. Where the run of several fails, each is run alone."""
        started = time.perf_counter()
        try:
            scores = session.score(np.stack([_input(image) for image in batch]))
        except Exception as error:  # the edge: ONNX Runtime's errors have no common class
            if len(batch) == 1:
                yield FailedImage(batch[0], session.card, error)
                return
            for image in batch:
                yield from self._run_model(session, [image])
            return
        seconds = (time.perf_counter() - started) / len(batch)
        self._observe_batch(len(batch))
        for position, image in enumerate(batch):
            yield replace(self._scored(session, image, scores, position), seconds=seconds)

    def _scored(self, session: ScoringSession, image: PreparedImage, scores: ModelScores, position: int) -> ScoredImage:
        probability, distance = _score_at(scores, position)
        activation_map, no_map = _map_at(session, image, scores, position)
        return ScoredImage(
            image,
            conclude(image, session.card, probability, distance, self._policy),
            session.card,
            _finite(distance),
            activation_map,
            no_map,
            tuple(self._score_in_shadow(image, name) for name in sorted(image.shadow_inputs)),
        )

    def _score_in_shadow(self, image: PreparedImage, name: str) -> ShadowScore:
        """Return the score of a model in shadow. Its failure is recorded in the score, and changes nothing else."""
        session, started = self._sessions[name], time.perf_counter()
        try:
            probability, distance = _score_at(session.score(image.shadow_inputs[name][np.newaxis]), 0)
        except Exception as error:  # the edge: a model on trial
            logger.error("the model %s, in shadow, failed on an image: %s", name, where_raised(error))
            probability = distance = math.nan
        conclusion = conclude(image, session.card, probability, distance, self._policy)
        return ShadowScore(
            model_id=session.card.model_id,
            model_digest=session.card.model_sha256,
            tag=conclusion.tag,
            probability=conclusion.probability,
            reasons=conclusion.reasons,
            distance=_finite(distance),
            distance_limit=session.card.distribution.limit,
            seconds=time.perf_counter() - started,
        )


def _without_disabled(image: PreparedImage, disabled: Collection[str]) -> PreparedImage:
    """Return the image without the inputs of disabled models, and rejected if its own model is one of them."""
    if image.model_name in disabled:
        refusal = Rejected(Reason.MODEL_DISABLED, f"{image.model_name} is switched off")
        return replace(image, model_name="", model_input=None, shadow_inputs={}, rejected=refusal)
    if not image.shadow_inputs:
        return image
    inputs = {name: values for name, values in image.shadow_inputs.items() if name not in disabled}
    return replace(image, shadow_inputs=inputs)


def _rejected(image: PreparedImage) -> ScoredImage:
    assert image.rejected is not None
    return ScoredImage(
        image, Conclusion(Tag.NOT_ASSESSED, None, (image.rejected.reason,), detail=image.rejected.detail)
    )


def _input(image: PreparedImage) -> FloatImage:
    assert image.model_input is not None
    return image.model_input


def _score_at(scores: ModelScores, position: int) -> tuple[float, float]:
    return float(scores.probability[position]), float(scores.distance[position])


def _map_at(
    session: ScoringSession, image: PreparedImage, scores: ModelScores, position: int
) -> tuple[ActivationMap | None, str]:
    """Return the activation map of one image, and without one the reason, empty where maps are switched off."""
    if not session.keeps_maps:
        return None, ""
    if scores.maps is None:
        return None, f"{session.card.model_id} has no activation map"
    card = session.card
    found = encode_map(scores.maps[position], card.preprocessing.spec(), card.activation_grid, image.content)
    return found, "" if found else "the map had values that are no numbers"


def _finite(number: float) -> float | None:
    """Return None for NaN and infinity, which JSON does not have."""
    return number if math.isfinite(number) else None
