"""PURE: which objects a frontal chest model may score, from what their attributes say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from triage.radiograph.types import Attributes, Rejected, View
from triage.reasons import Reason

_READ = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",  # Computed Radiography Image Storage
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",  # Digital X-Ray Image Storage - For Presentation
}
_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"  # Digital X-Ray Image Storage - For Processing

# CID 4010, SNOMED CT, and the SNOMED RT values that older systems still send.
_VIEW_CODES = {
    "399033003": View.FRONTAL,
    "272479007": View.PA,
    "399348003": View.AP,
    "R-10206": View.AP,
    "R-10214": View.PA,
    "399067008": View.LATERAL,
    "399173006": View.LATERAL,
    "399198007": View.LATERAL,
    "R-10228": View.LATERAL,
    "R-10232": View.LATERAL,
    "R-10236": View.LATERAL,
}
_VIEW_POSITIONS = {
    "PA": View.PA,
    "AP": View.AP,
    "LL": View.LATERAL,
    "RL": View.LATERAL,
    "LAT": View.LATERAL,
    "LATERAL": View.LATERAL,
    "LLD": View.OTHER,  # left lateral decubitus
    "RLD": View.OTHER,
    "LLO": View.OTHER,
    "RLO": View.OTHER,
    "RAO": View.OTHER,
    "LAO": View.OTHER,
    "RPO": View.OTHER,
    "LPO": View.OTHER,
}
_DESCRIBED = (
    (View.OTHER, re.compile(r"\b(?:oblique|obl|decub\w*|lordotic|rao|lao|rpo|lpo)\b", re.IGNORECASE)),
    (View.LATERAL, re.compile(r"\b(?:lateral\w*|lat|ll|rl)\b", re.IGNORECASE)),
    (View.PA, re.compile(r"\b(?:pa|p\.a\.)(?!\w)", re.IGNORECASE)),
    (View.AP, re.compile(r"\b(?:ap|a\.p\.)(?!\w)", re.IGNORECASE)),
    (View.FRONTAL, re.compile(r"\bfrontal\b", re.IGNORECASE)),
)
_CHEST_PARTS = frozenset({"CHEST", "THORAX", "LUNG", "LUNGS", "RIB", "RIBS", "CHESTABDOMEN", "HEART"})
_CHEST_CODES = frozenset({"51185008", "T-D3000", "39607008", "T-28000", "113197003", "T-11300", "80891009", "T-32000"})


@dataclass(frozen=True)
class EligibilityPolicy:
    """What a site states about images whose view no attribute gives: senders and descriptions of frontals."""

    frontal_ae_titles: frozenset[str] = frozenset()
    frontal_descriptions: tuple[str, ...] = ()


def ineligible(attributes: Attributes, policy: EligibilityPolicy, calling_ae_title: str = "") -> Rejected | None:
    """Why an object is not for a frontal chest model, before its pixels are looked at; None if it may be.

    An unknown view is no reason here: the image is scored, and tagged as not assessed.
    """
    if attributes.sop_class_uid == _FOR_PROCESSING or attributes.presentation_intent_type == "FOR PROCESSING":
        return Rejected(Reason.FOR_PROCESSING, "an image for processing; its For Presentation twin is read")
    if attributes.sop_class_uid not in _READ or attributes.modality not in ("CR", "DX"):
        what = f"modality {attributes.modality or 'empty'}, SOP class {attributes.sop_class_uid}"
        return Rejected(Reason.NOT_A_RADIOGRAPH, f"neither CR nor DX: {what}")
    if "LOCALIZER" in attributes.image_type:
        return Rejected(Reason.LOCALIZER, "Image Type says localizer")
    if not _may_be_chest(attributes):
        part = attributes.body_part_examined or ", ".join(attributes.anatomy_codes)
        return Rejected(Reason.NOT_CHEST, f"body part {part}")
    view = view_of(attributes, policy, calling_ae_title)
    if view in (View.LATERAL, View.OTHER):
        return Rejected(Reason.NOT_FRONTAL, f"view {view}")
    if attributes.number_of_frames != 1:
        return Rejected(Reason.MULTI_FRAME, f"{attributes.number_of_frames} frames")
    return None


def view_of(attributes: Attributes, policy: EligibilityPolicy, calling_ae_title: str = "") -> View:
    """The view, by the first kind of evidence that there is; UNKNOWN for none and where two kinds contradict.

    In this order: View Code Sequence, View Position, Patient Orientation, descriptions; then the site's rules. An
    explicit lateral in any of them excludes a frontal.
    """
    stated = [view for view in _evidence(attributes) if view is not None]
    if stated:
        return _agreed(stated)
    if calling_ae_title in policy.frontal_ae_titles or _matches(policy.frontal_descriptions, attributes.descriptions):
        return View.FRONTAL
    return View.UNKNOWN


def _evidence(attributes: Attributes) -> Iterable[View | None]:
    yield _one_of(_VIEW_CODES.get(code) for code in attributes.view_codes)
    yield _VIEW_POSITIONS.get(attributes.view_position)
    yield _oriented(attributes.patient_orientation)
    yield _described(attributes.descriptions)


def _agreed(stated: list[View]) -> View:
    """The first view, unless another kind of evidence speaks of another plane or of the opposite direction."""
    first = stated[0]
    planes = {View.FRONTAL if view.is_frontal else view for view in stated if view is not View.UNKNOWN}
    if len(planes) > 1 or View.UNKNOWN in stated:
        return View.UNKNOWN
    if first is View.FRONTAL:
        return next((view for view in stated if view is not View.FRONTAL), first)
    return first


def _one_of(views: Iterable[View | None]) -> View | None:
    """The view that several codes agree on; UNKNOWN if they contradict each other."""
    known = {view for view in views if view is not None}
    if len(known) > 1:
        return View.UNKNOWN
    return next(iter(known), None)


def _oriented(orientation: tuple[str, ...]) -> View | None:
    """Patient Orientation (0020,0020): directions of the row and of the column, PS3.3 C.7.6.1.1.1."""
    if len(orientation) != 2 or not all(orientation):
        return None
    row, column = (direction[0] for direction in orientation)
    if column not in "FH":
        return None
    return {"L": View.FRONTAL, "R": View.FRONTAL, "A": View.LATERAL, "P": View.LATERAL}.get(row)


def _described(descriptions: tuple[str, ...]) -> View | None:
    """The view in the first description that names one. One that names several ("PA and lateral") is of the study."""
    for text in descriptions:
        named = [view for view, pattern in _DESCRIBED if pattern.search(text)]
        planes = {View.FRONTAL if view.is_frontal else view for view in named}
        if View.OTHER in planes:
            return View.OTHER if planes == {View.OTHER} or planes == {View.OTHER, View.LATERAL} else None
        if len(planes) == 1:
            return named[0] if len(named) == 1 else View.FRONTAL
    return None


def _may_be_chest(attributes: Attributes) -> bool:
    """Whether the attributes name the chest, or nothing: then the pixels decide."""
    if attributes.body_part_examined:
        return attributes.body_part_examined in _CHEST_PARTS
    return not attributes.anatomy_codes or bool(_CHEST_CODES.intersection(attributes.anatomy_codes))


def _matches(patterns: tuple[str, ...], texts: tuple[str, ...]) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns for text in texts)
