"""PURE: eligibility of objects for a frontal chest model, by their attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from triage.decision.reasons import Reason
from triage.radiograph.body_part import names_of_other_parts, part_of
from triage.radiograph.modality import is_another_kind, named
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.species import is_animal
from triage.radiograph.types import Attributes, Part, Rejected, View
from triage.radiograph.view_codes import ANGLED, NO_PLAIN_FRONTAL, PLAIN, VIEW_OF_CODE
from triage.radiograph.vocabulary import ViewNote, ViewWord, vocabulary
from triage.radiograph.words import Lexicon

_READ = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",  # Computed Radiography Image Storage
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",  # Digital X-Ray Image Storage - For Presentation
}
_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"  # Digital X-Ray Image Storage - For Processing


def ineligible(attributes: Attributes, policy: EligibilityPolicy, calling_ae_title: str = "") -> Rejected | None:
    """Return the reason why a frontal chest model may not score an object, by its attributes; None if it may.

    An unknown view or body part is no reason here: the image is scored. With an unknown view it is tagged as not
    assessed, with an unknown body part it is never normal.
    """
    if attributes.sop_class_uid == _FOR_PROCESSING or attributes.presentation_intent_type == "FOR PROCESSING":
        return Rejected(Reason.FOR_PROCESSING, "an image for processing; its For Presentation twin is read")
    if attributes.sop_class_uid not in _READ or is_another_kind(attributes.modality):
        kind = f"modality {named(attributes.modality)}, SOP class {attributes.sop_class_uid}"
        return Rejected(Reason.NOT_A_RADIOGRAPH, f"neither CR nor DX: {kind}")
    if "LOCALIZER" in attributes.image_type:
        return Rejected(Reason.LOCALIZER, "Image Type says localizer")
    if part_of(attributes, policy, calling_ae_title) is Part.OTHER:
        return Rejected(Reason.NOT_CHEST, f"body part: {', '.join(names_of_other_parts(attributes, policy))}")
    view = view_of(attributes, policy, calling_ae_title)
    if view in (View.LATERAL, View.OTHER):
        return Rejected(Reason.NOT_FRONTAL, f"view {view}")
    if attributes.number_of_frames != 1:
        return Rejected(Reason.MULTI_FRAME, f"{attributes.number_of_frames} frames")
    if is_animal(attributes.species, attributes.breed):
        return Rejected(Reason.AGE_UNKNOWN, "the species is not human: an animal's age is none that a model is for")
    return None


def view_of(attributes: Attributes, policy: EligibilityPolicy, calling_ae_title: str = "") -> View:
    """Return the view that the attributes state; UNKNOWN for none and where two attributes contradict each other.

    All are used: View Code Sequence with its modifiers, View Position, Patient Orientation, the position of the
    patient, the descriptions of protocol, series and processing or else of the study. A rule of the site (``policy``)
    counts only where none of them states a view. So an image that any of them calls a lateral is no frontal.
    """
    words = vocabulary(policy.words).views
    stated = [view for view in _evidence(attributes, words) if view is not None]
    if stated:
        return _agreed(stated)
    descriptions = (*attributes.descriptions, attributes.study_description)
    if calling_ae_title in policy.frontal_ae_titles or _matches(policy.frontal_descriptions, descriptions):
        return View.FRONTAL
    return View.UNKNOWN


def _evidence(attributes: Attributes, words: Lexicon[ViewWord]) -> Iterable[View | None]:
    yield _coded(attributes)
    yield _stated_position(attributes.view_position, words)
    yield _oriented(attributes.patient_orientation)
    yield _positioned(attributes)
    nearest = _one_of(_described(text, words) for text in attributes.descriptions)
    yield nearest or _described(attributes.study_description, words)


def _coded(attributes: Attributes) -> View | None:
    """Return the view in View Code Sequence with its modifiers (PS3.3 C.8.11.5, CID 4010 and 4011).

    A frontal of a patient on their side is OTHER. An angled one may not be what a model was trained on: UNKNOWN. So is
    one with a modifier that we do not know.
    """
    view = _one_of(VIEW_OF_CODE.get(code) for code in attributes.view_codes)
    if modified := _no_plain_frontal(attributes.view_modifiers):
        return modified if view is None or view.is_frontal else view
    unknown = set(attributes.view_modifiers) - PLAIN
    return View.UNKNOWN if unknown and view is not None and view.is_frontal else view


def _positioned(attributes: Attributes) -> View | None:
    """Return OTHER where the patient lies on their side, UNKNOWN where they lean back, else None.

    Patient Position (0018,5100), PS3.3 C.7.3.1.1.2, ends in DR or DL for decubitus right and left.
    """
    on_their_side = attributes.patient_position.endswith(("DR", "DL"))
    return View.OTHER if on_their_side else _no_plain_frontal(attributes.position_modifiers)


def _no_plain_frontal(modifiers: Iterable[str]) -> View | None:
    """Return the view of a frontal with modifiers: UNKNOWN if angled, OTHER if no frontal, None if unchanged."""
    no_plain = NO_PLAIN_FRONTAL.intersection(modifiers)
    if not no_plain:
        return None
    return View.UNKNOWN if no_plain <= ANGLED else View.OTHER


def _one_of(views: Iterable[View | None]) -> View | None:
    stated = [view for view in views if view is not None]
    return _agreed(stated) if stated else None


def _agreed(stated: list[View]) -> View:
    """Return the view on which all agree. UNKNOWN for several planes, FRONTAL for PA and AP together."""
    if len({_plane(view) for view in stated}) > 1:
        return View.UNKNOWN
    directions = {view for view in stated if view is not View.FRONTAL}
    return directions.pop() if len(directions) == 1 else View.FRONTAL


def _plane(view: View) -> View:
    return View.FRONTAL if view.is_frontal else view


_AXES = {"L": "across", "R": "across", "A": "depth", "P": "depth", "H": "along", "F": "along"}


def _oriented(orientation: tuple[str, ...]) -> View | None:
    """Return the view by Patient Orientation (0020,0020), directions of row and column (PS3.3 C.7.6.1.1.1).

    A plane between the axes is oblique. A frontal that is not upright in the pixels is UNKNOWN: no model is trained on
    it. Left and right may be exchanged.
    """
    if len(orientation) != 2 or not all(orientation) or not set("".join(orientation)) <= _AXES.keys():
        return None
    axes = {_AXES[letter] for letter in "".join(orientation)}
    if axes == {"along", "depth"}:
        return View.LATERAL
    if axes == {"along", "across"}:
        row, column = (direction[0] for direction in orientation)
        return View.FRONTAL if row in "LR" and column == "F" else View.UNKNOWN
    return View.OTHER if len(axes) > 1 else None


def _described(text: str, words: Lexicon[ViewWord]) -> View | None:
    """Return the view that a text names.

    "PA and lateral" describes several images, and gives no view of one. "AP decubitus" may be one or several: UNKNOWN,
    as is every angled view.
    """
    named, _ = words.read(text)
    views = [word for word in named if isinstance(word, View)]
    planes = {_plane(view) for view in views}
    if View.UNKNOWN in planes or planes >= {View.OTHER, View.FRONTAL}:
        return View.UNKNOWN
    if View.OTHER in planes:  # a lateral decubitus is no lateral
        return View.OTHER
    return _agreed(views) if len(planes) == 1 and ViewNote.SEVERAL not in named else None


def _stated_position(text: str, words: Lexicon[ViewWord]) -> View | None:
    """Return the view in View Position (0018,5101): it is a frontal only if all of its words are known."""
    named, unknown_words = words.read(text)
    view = _described(text, words)
    if view is not None:
        return View.UNKNOWN if view.is_frontal and unknown_words else view
    return View.UNKNOWN if unknown_words or any(isinstance(word, View) for word in named) else None


def _matches(patterns: tuple[str, ...], texts: Iterable[str]) -> bool:
    return any(text and re.search(pattern, text, re.IGNORECASE) for text in texts for pattern in patterns)
