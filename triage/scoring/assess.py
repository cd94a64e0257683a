"""One object from bytes to a tag: the path that the service and ``triage predict`` share. No queue, no spool.

``prepare`` runs in the process that decodes (a child of the worker); its model inputs go to sessions in batches;
``conclude`` (conclude.py) makes the tag from the scores.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from triage.decision.reasons import Reason
from triage.decision.rejection_note import RejectionNote
from triage.model.card import ModelCard
from triage.model.registry import ADULT_FROM_YEARS, ChosenModels, RegistryPolicy, choose, shadow_cards
from triage.radiograph.body_part import part_of
from triage.radiograph.crop import WHOLE, Edges, Rectangle, content
from triage.radiograph.decode import decode_picture, decode_pixels, is_picture, open_dicom
from triage.radiograph.eligibility import ineligible, view_of
from triage.radiograph.memory_errors import memory_errors
from triage.radiograph.orientation import UPRIGHT, Orientation, orientation_of
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.preprocess import PreprocessSpec, preprocess
from triage.radiograph.projection import FROM_YEARS, ap_share_of, contradicts
from triage.radiograph.rejection_note import described, rejection_note
from triage.radiograph.thumbnail import thumbnail
from triage.radiograph.types import Attributes, FloatImage, Part, Radiograph, Rejected, View
from triage.scoring.finding_scores import FindingPolicy

_CERTAIN = frozenset({Reason.NOT_A_RADIOGRAPH, Reason.FOR_PROCESSING})
"""Refusals that hold for a damaged data set too: they follow from the SOP class, which the sender announced as well."""

_NO_WHOLE_CHEST = frozenset({Reason.OUT_OF_DISTRIBUTION, Reason.WIDE_BORDER, Reason.WORKER_FAILURE})
"""Reasons of images that may not show a whole upright chest, which the projection check was made for."""


@dataclass(frozen=True)
class AssessmentPolicy:
    """Decisions of the site about images, models and findings."""

    eligibility: EligibilityPolicy = field(default_factory=EligibilityPolicy)
    registry: RegistryPolicy = field(default_factory=RegistryPolicy)
    findings: FindingPolicy = field(default_factory=FindingPolicy)

    @property
    def for_decoding(self) -> AssessmentPolicy:
        """The part that ``prepare`` reads: it is sent to a decoding process with every object."""
        return replace(self, findings=FindingPolicy())


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """One object before it is scored: its attributes, and its model input unless it is ``rejected``.

    ``model_inputs`` are float32 (1, size, size), by the names of the models in service that the patient requires, or of
    one in shadow; ``refused`` are required models that must not score. ``shadow_inputs`` are those of the shadow models
    that score the same image. ``content``: the part of the image inside shutter and border, and
    ``orientation``: how that part is turned. ``aspect``: rows over columns of the image. ``ap_share``: the certainty,
    0 to 1, that an adult's upright image was taken AP and not PA; None for other images. ``stages`` are durations in
    seconds. ``rejection`` is the content of a rejection note.
    """

    attributes: Attributes
    view: View
    part: Part = Part.UNKNOWN
    rejected: Rejected | None = None
    model_inputs: dict[str, FloatImage] = field(default_factory=dict)
    refused: dict[str, Rejected] = field(default_factory=dict)
    shadow_inputs: dict[str, FloatImage] = field(default_factory=dict)
    content: Edges = WHOLE
    orientation: Orientation = UPRIGHT
    aspect: float = 1.0
    ap_share: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    rejection: RejectionNote | None = None

    @property
    def model_name(self) -> str:
        """The first model by name that scores the image; empty if none does."""
        return min(self.model_inputs, default="")

    @property
    def model_input(self) -> FloatImage | None:
        """The input of that model."""
        return self.model_inputs.get(self.model_name)


def prepare(
    data: bytes,
    cards: Mapping[str, ModelCard],
    policy: AssessmentPolicy,
    *,
    calling_ae_title: str = "",
    model_name: str | None = None,
    pictures: bool = False,
) -> PreparedImage:
    """Decode an object, choose its model, and make its model input. Never raises for bad bytes; MemoryError.

    Args:
        data: The bytes of a DICOM file.
        cards: The cards of the loaded models by name.
        policy: Decisions of the site.
        calling_ae_title: The AE title of the sender, which may vouch for view and body part.
        model_name: The model to use whatever the age.
        pictures: Accept bare PNG and JPEG files; the caller asserts that they are frontal images of the chest.
    """
    with memory_errors():
        if pictures and is_picture(data):
            return _prepare_picture(data, cards, policy, model_name)
        return _prepare_dicom(data, cards, policy, calling_ae_title, model_name)


def _prepare_picture(
    data: bytes, cards: Mapping[str, ModelCard], policy: AssessmentPolicy, model_name: str | None
) -> PreparedImage:
    stages: dict[str, float] = {}
    with _timed(stages, "decode"):
        radiograph = decode_picture(data)
    known = PreparedImage(Attributes(), View.FRONTAL, Part.CHEST, stages=stages)
    return _for_model(radiograph, known, cards, policy, model_name)


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
    if (note := rejection_note(dataset, attributes, policy.eligibility, calling_ae_title)) is not None:
        return replace(known, rejected=Rejected(Reason.REJECTION_NOTE, described(note)), rejection=note)
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


def projection_seen(prepared: PreparedImage, reasons: Collection[Reason]) -> float | None:
    """Return ``ap_share`` of a scored image, None if its reasons leave doubt that it shows a whole upright chest.

    It is for people: no decision depends on it.
    """
    return None if _NO_WHOLE_CHEST.intersection(reasons) else prepared.ap_share


def view_contradicted(prepared: PreparedImage, ap_share: float | None) -> bool:
    """Return True if the pixels of a stated chest contradict the stated PA or AP with enough certainty."""
    return ap_share is not None and prepared.part is Part.CHEST and contradicts(ap_share, prepared.view)


def _age_in_doubt(attributes: Attributes) -> Rejected | None:
    """Reject an unreliable stated age. It is not an unknown age, which a setting may give to the adult model."""
    return Rejected(Reason.AGE_UNKNOWN, attributes.age_doubt) if attributes.age_doubt else None


def _chosen(known: PreparedImage, cards: Mapping[str, ModelCard], policy: AssessmentPolicy) -> ChosenModels | Rejected:
    attributes = known.attributes
    return choose(cards, attributes.age_years, policy.registry, known.view, attributes.station_name)


def _for_model(
    radiograph: Radiograph | Rejected,
    known: PreparedImage,
    cards: Mapping[str, ModelCard],
    policy: AssessmentPolicy,
    model_name: str | None,
) -> PreparedImage:
    if isinstance(radiograph, Rejected):
        return replace(known, rejected=radiograph)
    chosen = ChosenModels((cards[model_name],)) if model_name else _chosen(known, cards, policy)
    if isinstance(chosen, Rejected):
        return replace(known, rejected=chosen)
    pixels, valid = radiograph.pixels, radiograph.valid
    with _timed(known.stages, "preprocess"):
        part = content(pixels, valid)
        small = thumbnail(pixels, valid, part)
        orientation = orientation_of(small)
        ap_share = _ap_share(small, orientation, known.attributes)
        inputs = _model_inputs(radiograph, part, chosen.cards)
    known = replace(known, content=part.edges(pixels), orientation=orientation, ap_share=ap_share)
    aspect = pixels.shape[0] / pixels.shape[1]
    known = replace(known, model_inputs=inputs, refused=dict(chosen.refused), aspect=aspect)
    if model_name:
        return known
    station = known.attributes.station_name
    others = shadow_cards(cards, known.attributes.age_years, policy.registry, chosen.cards, station)
    return replace(known, shadow_inputs=_model_inputs(radiograph, part, others))


def _model_inputs(radiograph: Radiograph, part: Rectangle, cards: Iterable[ModelCard]) -> dict[str, FloatImage]:
    """Return the input of each model by name; models of one preprocessing share it."""
    made: dict[PreprocessSpec, FloatImage] = {}
    inputs = {}
    for card in cards:
        spec = card.preprocessing.spec()
        if spec not in made:
            made[spec] = preprocess(radiograph.pixels, radiograph.valid, spec, part)
        inputs[card.name] = made[spec]
    return inputs


def _ap_share(small: FloatImage, orientation: Orientation, attributes: Attributes) -> float | None:
    """Return the certainty of AP of an adult's upright chest. An unknown age counts as an adult's."""
    age = ADULT_FROM_YEARS if attributes.age_years is None else attributes.age_years
    return ap_share_of(small) if age >= FROM_YEARS and orientation.is_upright else None


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    stages[name] = time.perf_counter() - started
