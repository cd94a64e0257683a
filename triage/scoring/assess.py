"""One object from bytes to a tag: the path that the service and ``triage predict`` share. No queue, no spool.

``prepare`` runs in the process that decodes (a child of the worker); its model input goes to a session in batches;
``conclude`` makes the tag from the score.
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
"""Refusals that hold for a damaged data set too: they follow from the SOP class, which the sender announced as well."""

_NO_WHOLE_CHEST = frozenset({Reason.OUT_OF_DISTRIBUTION, Reason.WIDE_BORDER, Reason.WORKER_FAILURE})
"""Reasons of images that may not show a whole upright chest, which the projection check was made for."""


@dataclass(frozen=True)
class AssessmentPolicy:
    """Decisions of the site about images and models.

    ``operating_point``: the probability from which an image is abnormal. ``prevalence``: the share of the site's
    patients who are abnormal, by model name.
    """

    eligibility: EligibilityPolicy = field(default_factory=EligibilityPolicy)
    registry: RegistryPolicy = field(default_factory=RegistryPolicy)
    operating_point: float = 0.5
    prevalence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """One object before it is scored: its attributes, and its model input unless it is ``rejected``.

    ``model_input`` is float32 (1, size, size) for the model ``model_name``; ``shadow_inputs`` are those of the shadow
    models that score the same image, by name. ``content``: the part of the image inside shutter and border, and
    ``orientation``: how that part is turned. ``ap_share``: the certainty, 0 to 1, that an adult's upright image was
    taken AP and not PA; None for other images. ``stages`` are durations in seconds.
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
    """Decode an object, choose its model, and make its model input. Never raises for bad bytes.

    Args:
        data: The bytes of a DICOM file.
        cards: The cards of the loaded models by name.
        policy: Decisions of the site.
        calling_ae_title: The AE title of the sender, which may vouch for view and body part.
        model_name: The model to use whatever the age.
        pictures: Accept bare PNG and JPEG files; the caller asserts that they are frontal images of the chest.
    """
    stages: dict[str, float] = {}
    if pictures and is_picture(data):
        with _timed(stages, "decode"):
            radiograph = decode_picture(data)
        known = PreparedImage(Attributes(), View.FRONTAL, Part.CHEST, stages=stages)
        return _for_model(radiograph, known, cards, policy, model_name)
    return _prepare_dicom(data, cards, policy, calling_ae_title, model_name)


def _prepare_dicom(
    data: bytes,
    cards: Mapping[str, ModelCard],
    policy: AssessmentPolicy,
    calling_ae_title: str,
    model_name: str | None,
) -> PreparedImage:
    stages: dict[str, float] = {}
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
        refusal = Rejected(Reason.UNDECODABLE, attributes.damage)  # view or body part may be lost or wrong
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
    """Return the tag of a scored image. ``distance`` is in the units of the card's limit.

    An image that is unlike the training images, has a wider border than they, does not stand upright, or is not known
    to be of a view that the model is for, is not assessed, whatever its score. An image that is not known to show a
    chest may be abnormal, and is never normal. NaN and infinity count as too far; a probability outside 0 to 1 is a
    failure.
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
    """Return ``ap_share`` of a scored image, None if its reasons leave doubt that it shows a whole upright chest.

    It is for people: no decision depends on it.
    """
    return None if _NO_WHOLE_CHEST.intersection(conclusion.reasons) else prepared.ap_share


def view_contradicted(prepared: PreparedImage, ap_share: float | None) -> bool:
    """Return True if the pixels of a stated chest contradict the stated PA or AP with enough certainty."""
    return ap_share is not None and prepared.part is Part.CHEST and contradicts(ap_share, prepared.view)


def _age_in_doubt(attributes: Attributes) -> Rejected | None:
    """Reject an unreliable stated age. It is not an unknown age, which a setting may give to the adult model."""
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
    """Return the certainty of AP of an adult's upright chest. An unknown age counts as an adult's."""
    age = ADULT_FROM_YEARS if attributes.age_years is None else attributes.age_years
    return ap_share_of(small) if age >= FROM_YEARS and orientation.is_upright else None


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    stages[name] = time.perf_counter() - started
