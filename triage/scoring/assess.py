"""One object from bytes to a tag: the path that the service and ``triage predict`` share. No queue, no spool.

``prepare`` runs where decoding is done (a child process of the worker); what it returns goes to a session in batches;
``conclude`` makes the tag of the score.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.card import ModelCard
from triage.model.registry import ADULT_FROM_YEARS, RegistryPolicy, choose, shadow_cards
from triage.radiograph.body_part import part_of
from triage.radiograph.crop import WHOLE, Edges, content, is_mostly_border
from triage.radiograph.decode import decode_picture, decode_pixels, is_picture, open_dicom
from triage.radiograph.eligibility import ineligible, view_of
from triage.radiograph.orientation import UPRIGHT, Orientation, orientation_of
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.preprocess import preprocess
from triage.radiograph.projection import FROM_YEARS, ap_share_of, contradicts
from triage.radiograph.thumbnail import thumbnail
from triage.radiograph.types import Attributes, FloatImage, Part, Radiograph, Rejected, View

_CERTAIN = frozenset({Reason.NOT_A_RADIOGRAPH, Reason.FOR_PROCESSING})
"""What a damaged data set is listed for and not counted: its SOP class says so, which the sender announced as well."""

_NO_WHOLE_CHEST = frozenset({Reason.OUT_OF_DISTRIBUTION, Reason.WIDE_BORDER, Reason.WORKER_FAILURE})
"""Of an image with one of these it is in doubt whether the small image shows what the projection check knows."""


@dataclass(frozen=True)
class AssessmentPolicy:
    """What the site decided: about images, about models, the probability from which an image is abnormal, and by model
    the share of its patients who are.
    """

    eligibility: EligibilityPolicy = field(default_factory=EligibilityPolicy)
    registry: RegistryPolicy = field(default_factory=RegistryPolicy)
    operating_point: float = 0.5
    prevalence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What is known of an object before it is scored, and its model input unless it is ``rejected``.

    ``model_input`` is float32 (1, size, size) for the model ``model_name``; ``beside`` are those of the models in
    shadow that score the same image, by name. ``content``: what of the image lies inside shutter and border, and
    ``orientation``: how that part is turned. ``ap_share``: the share of certainty that an adult's upright image was
    taken AP, and not PA; None where that is not asked. ``stages`` are durations in seconds.
    """

    attributes: Attributes
    view: View
    part: Part = Part.UNKNOWN
    rejected: Rejected | None = None
    model_name: str = ""
    model_input: FloatImage | None = None
    shadow_inputs: dict[str, FloatImage] = field(default_factory=dict)
    content: Edges = WHOLE
    orientation: Orientation = UPRIGHT
    ap_share: float | None = None
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Conclusion:
    """The tag of one image; ``probability`` None only if nothing was scored. ``detail`` is for people."""

    tag: Tag
    probability: float | None
    reasons: tuple[Reason, ...]
    shadow: bool = False
    detail: str = ""


def prepare(
    data: bytes,
    cards: Mapping[str, ModelCard],
    policy: AssessmentPolicy,
    *,
    calling_ae_title: str = "",
    model_name: str | None = None,
    pictures: bool = False,
) -> PreparedImage:
    """Decode an object, decide which model is for it, and make its model input. Never raises for bad bytes.

    ``model_name`` overrides the choice by age. ``pictures`` lets bare PNG and JPEG files in; the caller asserts
    that they are frontals of the chest.
    """
    stages: dict[str, float] = {}
    if pictures and is_picture(data):
        with _timed(stages, "decode"):
            radiograph = decode_picture(data)
        known = PreparedImage(Attributes(), View.FRONTAL, Part.CHEST, stages=stages)
        return _for_model(radiograph, known, cards, policy, model_name)
    with _timed(stages, "read"):
        opened = open_dicom(data)
    if isinstance(opened, Rejected):
        return PreparedImage(Attributes(), View.UNKNOWN, rejected=opened, stages=stages)
    dataset, attributes = opened
    view = view_of(attributes, policy.eligibility, calling_ae_title)
    part = part_of(attributes, policy.eligibility, calling_ae_title)
    known = PreparedImage(attributes, view, part, stages=stages)
    refusal = ineligible(attributes, policy.eligibility, calling_ae_title)
    if not attributes.whole and (refusal is None or refusal.reason not in _CERTAIN):
        refusal = Rejected(Reason.UNDECODABLE, attributes.damage)  # a view or a part may be lost, or be wrong
    if refusal is None and model_name is None:
        chosen = _chosen(known, cards, policy)
        refusal = _age_in_doubt(attributes) or (chosen if isinstance(chosen, Rejected) else None)
    if refusal is not None:
        return replace(known, rejected=refusal)
    with _timed(stages, "decode"):
        radiograph = decode_pixels(dataset, attributes)
    return _for_model(radiograph, known, cards, policy, model_name)


def conclude(
    prepared: PreparedImage, card: ModelCard, probability: float, distance: float, policy: AssessmentPolicy
) -> Conclusion:
    """The tag of a scored image. ``distance`` is in the units of the card's limit.

    What looks like nothing the model was trained on, has more border than it knows, does not stand upright, or is not
    known to be a view that it is for, is not assessed, however it scored. What nothing says is a chest may be abnormal,
    and is never normal. NaN and infinity count as far; a probability that is no number is a failure.
    """
    shadow = card.name in policy.registry.shadow
    if not 0 <= probability <= 1:
        return Conclusion(Tag.NOT_ASSESSED, None, (Reason.WORKER_FAILURE,), shadow)
    if not (math.isfinite(distance) and distance <= card.distribution.limit):
        return Conclusion(Tag.NOT_ASSESSED, probability, (Reason.OUT_OF_DISTRIBUTION,), shadow)
    refusal = _refused_by_layout(prepared, card)
    if refusal is not None:
        return Conclusion(Tag.NOT_ASSESSED, probability, (refusal.reason,), shadow, refusal.detail)
    if not card.covers_view(prepared.view):
        return Conclusion(Tag.NOT_ASSESSED, probability, (Reason.VIEW_UNVERIFIED,), shadow)
    if probability >= policy.operating_point:
        return Conclusion(Tag.ABNORMAL, probability, (), shadow)
    if prepared.part is not Part.CHEST:
        return Conclusion(Tag.NOT_ASSESSED, probability, (Reason.BODY_PART_UNVERIFIED,), shadow)
    if not card.target.negative_is_normal:
        return Conclusion(Tag.NOT_ASSESSED, probability, (Reason.FINDING_NOT_COVERED,), shadow)
    return Conclusion(Tag.NORMAL, probability, (), shadow)


def projection_seen(prepared: PreparedImage, conclusion: Conclusion) -> float | None:
    """The share of AP that the pixels of a scored image say; None where it is in doubt that they show a whole chest.

    It is for people: nothing decides by it.
    """
    return None if _NO_WHOLE_CHEST.intersection(conclusion.reasons) else prepared.ap_share


def view_contradicted(prepared: PreparedImage, ap_share: float | None) -> bool:
    """Whether the pixels of what is said to be a chest are certain enough to contradict the stated PA or AP."""
    return ap_share is not None and prepared.part is Part.CHEST and contradicts(ap_share, prepared.view)


def _age_in_doubt(attributes: Attributes) -> Rejected | None:
    """What is stated and cannot be relied on is no unknown age that a setting gives to the adult model."""
    return Rejected(Reason.AGE_UNKNOWN, attributes.age_doubt) if attributes.age_doubt else None


def _chosen(known: PreparedImage, cards: Mapping[str, ModelCard], policy: AssessmentPolicy) -> ModelCard | Rejected:
    attributes = known.attributes
    return choose(cards, attributes.age_years, policy.registry, known.view, attributes.station_name)


def _refused_by_layout(prepared: PreparedImage, card: ModelCard) -> Rejected | None:
    if is_mostly_border(prepared.content, cropped=card.preprocessing.crop == "border"):
        top, left, bottom, right = prepared.content
        inside = f"{100 * (bottom - top):.0f} % of the rows and {100 * (right - left):.0f} % of the columns"
        return Rejected(Reason.WIDE_BORDER, f"only {inside} are inside shutter and border")
    if card.intended_use.orientation == "upright" and not prepared.orientation.is_upright:
        return Rejected(Reason.ORIENTATION_UNVERIFIED, str(prepared.orientation))
    return None


def _for_model(
    radiograph: Radiograph | Rejected,
    known: PreparedImage,
    cards: Mapping[str, ModelCard],
    policy: AssessmentPolicy,
    model_name: str | None,
) -> PreparedImage:
    if isinstance(radiograph, Rejected):
        return replace(known, rejected=radiograph)
    chosen = cards[model_name] if model_name else _chosen(known, cards, policy)
    if isinstance(chosen, Rejected):
        return replace(known, rejected=chosen)
    pixels, valid = radiograph.pixels, radiograph.valid
    with _timed(known.stages, "preprocess"):
        part = content(pixels, valid)
        small = thumbnail(pixels, valid, part)
        orientation = orientation_of(small)
        ap_share = _ap_share(small, orientation, known.attributes)
        model_input = preprocess(pixels, valid, chosen.preprocessing.spec(), part)
    known = replace(known, content=part.edges(pixels), orientation=orientation, ap_share=ap_share)
    known = replace(known, model_name=chosen.name, model_input=model_input)
    if model_name:
        return known
    station = known.attributes.station_name
    others = shadow_cards(cards, known.attributes.age_years, policy.registry, chosen, station)
    inputs = {each.name: preprocess(pixels, valid, each.preprocessing.spec(), part) for each in others}
    return replace(known, shadow_inputs=inputs)


def _ap_share(small: FloatImage, orientation: Orientation, attributes: Attributes) -> float | None:
    """What the pixels say of the projection of an adult's upright chest. An unknown age is an adult's."""
    age = ADULT_FROM_YEARS if attributes.age_years is None else attributes.age_years
    return ap_share_of(small) if age >= FROM_YEARS and orientation.is_upright else None


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    stages[name] = time.perf_counter() - started
