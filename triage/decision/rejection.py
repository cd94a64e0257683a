"""PURE: images that rejection notes of their study take out of the decision, in whatever order both came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from triage.decision.identity import contradiction
from triage.decision.reasons import LISTED_NOT_COUNTED, Reason
from triage.decision.rejection_note import TITLES, WRONG, RejectionNote
from triage.decision.types import ImageAssessment, Tag


def with_rejections(assessments: Iterable[ImageAssessment]) -> list[ImageAssessment]:
    """Return the assessments of a study in their order, with the reason ``rejected`` where a note names the image.

    A note takes out no image of a patient that its own attributes contradict, and no other note.
    """
    known = list(assessments)
    notes = [(each, each.rejection) for each in known if each.rejection is not None and not each.rejection.refused]
    return [_rejected(image, notes) for image in known] if notes else known


def is_wrong(image: ImageAssessment) -> bool:
    """Return True for an image that was rejected as wrong: it may be another patient's."""
    return image.rejected in WRONG


def standing(images: Sequence[ImageAssessment]) -> list[ImageAssessment]:
    """Return the objects that patient and order may be taken from: without wrong images, and the notes on them."""
    wrong = {image.sop_instance_uid for image in images if is_wrong(image)}
    return [image for image in images if not is_wrong(image) and not _is_note_on(image.rejection, wrong)]


def would_count(image: ImageAssessment) -> bool:
    """Return True for a rejected image on which the tag would depend otherwise."""
    return bool(image.rejected) and not LISTED_NOT_COUNTED.intersection(image.reasons) - {Reason.REJECTED}


def forbids_normal(image: ImageAssessment) -> bool:
    """Return True for an image that was abnormal and was rejected for another reason than that it is wrong.

    A poor image, or one that is no longer kept, is no proof that its finding is not there.
    """
    return would_count(image) and image.tag is Tag.ABNORMAL and not image.shadow and not is_wrong(image)


def wrong_abnormal(images: Iterable[ImageAssessment]) -> set[str]:
    """Return the SOP Instance UIDs of abnormal images that were rejected as wrong."""
    return {
        image.sop_instance_uid
        for image in images
        if is_wrong(image) and would_count(image) and image.tag is Tag.ABNORMAL and not image.shadow
    }


def wrong_notes(images: Iterable[ImageAssessment], rejected: set[str]) -> list[ImageAssessment]:
    """Return the notes that reject one of these images as wrong, in the order of their UIDs."""
    found = (image for image in images if _is_note_on(image.rejection, rejected))
    return sorted(found, key=lambda image: image.sop_instance_uid)


def _is_note_on(note: RejectionNote | None, wrong: set[str]) -> bool:
    return note is not None and not note.refused and note.code in WRONG and not wrong.isdisjoint(note.images)


def _rejected(image: ImageAssessment, notes: Sequence[tuple[ImageAssessment, RejectionNote]]) -> ImageAssessment:
    if image.rejection is not None or image.rejected:
        return image
    naming = [
        (note.code not in WRONG, note.code, each.sop_instance_uid)
        for each, note in notes
        if image.sop_instance_uid in note.images and not contradiction((each.patient, image.patient))
    ]
    if not naming:
        return image
    _, code, uid = min(naming)
    said = f"{TITLES[code]} ({code}) by note {uid}"
    detail = f"{image.detail}; {said}" if image.detail else said
    return replace(image, rejected=code, reasons=(*image.reasons, Reason.REJECTED), detail=detail)
