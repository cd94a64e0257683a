"""PURE: reader of rejection notes: Key Object Selection documents with one of the rejecting titles (IHE IOCM, RAD-66).

What a note names is in Current Requested Procedure Evidence Sequence (PS3.3 C.17.2); the content tree (C.17.3) says
which of it is meant.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from pydicom.dataset import Dataset

from triage.decision.rejection_note import TITLES, RejectionNote
from triage.dicom.attribute_text import items_of, text_of
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.types import Attributes

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
_EVIDENCE = "CurrentRequestedProcedureEvidenceSequence"
_MOST_IMAGES = 10_000
_LONGEST_UID = 64


def rejection_note(
    dataset: Dataset, attributes: Attributes, policy: EligibilityPolicy, calling_ae_title: str
) -> RejectionNote | None:
    """Return the rejection note in an object; None for every other object. Never raises.

    A note counts only if it is whole, names an image of its own study, and comes from a sender that may reject. One
    that does not count says why in ``refused``.
    """
    if attributes.sop_class_uid != KEY_OBJECT_SELECTION:
        return None
    with warnings.catch_warnings():  # odd values count as absent
        warnings.simplefilter("ignore")
        return _read(dataset, attributes, policy, calling_ae_title)


def _read(
    dataset: Dataset, attributes: Attributes, policy: EligibilityPolicy, calling_ae_title: str
) -> RejectionNote | None:
    code = _title(dataset)
    if damage := attributes.damage or ("" if attributes.whole else "a part of its data set is lost"):
        return RejectionNote(code, refused=f"it is damaged ({damage})") if code or not _has_title(dataset) else None
    if not code:
        return None
    images, why = _named(dataset, attributes.study_instance_uid)
    allowed = policy.rejection_ae_titles
    if allowed and calling_ae_title not in allowed:
        why = "its sender may not reject images (eligibility.rejection_ae_titles)"
    return RejectionNote(code, images, why, vouched_for=not why and calling_ae_title in allowed)


def described(note: RejectionNote) -> str:
    """Return the note in words, without a value of a patient."""
    title = f"rejection note, {note.title}" + (f" ({note.code})" if note.code else "")
    if note.refused:
        return f"{title}: it takes no image out of the decision: {note.refused}"
    return f"{title}: it names {len(note.images)} image{'s'[: len(note.images) != 1]} of this study"


def _has_title(dataset: Dataset) -> bool:
    return any(text_of(item, "CodeValue") for item in items_of(dataset, "ConceptNameCodeSequence"))


def _title(dataset: Dataset) -> str:
    """Return the Code Value of the document title if it is one that rejects, else an empty text."""
    for item in items_of(dataset, "ConceptNameCodeSequence")[:1]:
        value, scheme = text_of(item, "CodeValue"), text_of(item, "CodingSchemeDesignator")
        if scheme == "DCM" and value in TITLES:
            return value
    return ""


def _named(dataset: Dataset, study_instance_uid: str) -> tuple[tuple[str, ...], str]:
    """Return the images of the note's own study that it names, and why none if there is none."""
    studies = {text_of(item, "StudyInstanceUID") for item in items_of(dataset, _EVIDENCE)}
    evidence = _evidence(dataset, study_instance_uid)
    if len(evidence) > _MOST_IMAGES:
        return (), f"it names more than {_MOST_IMAGES} images"
    if not evidence:
        others = bool(studies - {study_instance_uid, ""})
        return (), "it names images of another study" if others else "it names no image"
    selected = set(_selected(dataset))
    images = tuple(sorted(evidence & selected if selected else evidence))
    return images, "" if images else "its content names none of the images of its evidence"


def _evidence(dataset: Dataset, study_instance_uid: str) -> set[str]:
    return {
        uid
        for study in items_of(dataset, _EVIDENCE)
        if text_of(study, "StudyInstanceUID") == study_instance_uid
        for series in items_of(study, "ReferencedSeriesSequence")
        for uid in _references(series)
    }


def _selected(dataset: Dataset) -> Iterator[str]:
    """Yield the UIDs in the content items (IMAGE, COMPOSITE, WAVEFORM) below the root (PS3.16 TID 2010)."""
    for item in items_of(dataset, "ContentSequence"):
        yield from _references(item)


def _references(item: Dataset) -> Iterator[str]:
    for reference in items_of(item, "ReferencedSOPSequence"):
        uid = text_of(reference, "ReferencedSOPInstanceUID")
        if uid and len(uid) <= _LONGEST_UID:
            yield uid
