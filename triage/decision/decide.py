"""The decision of a study, its tag and priority, from the assessments of its images. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from triage.decision.identity import contradiction
from triage.decision.reasons import Reason
from triage.decision.rejection import forbids_normal, standing, with_rejections, would_count
from triage.decision.study_findings import study_findings, study_urgency
from triage.decision.types import (
    READING_RANK,
    REQUESTED_PROCEDURE_PRIORITY,
    ImageAssessment,
    Priority,
    PriorityPolicy,
    Tag,
    TriageDecision,
)
from triage.decision.urgency import SHIPPED_TABLE, Urgency

_CLOCKS_DIFFER_S = 60.0


def decide(assessments: Sequence[ImageAssessment], policy: PriorityPolicy, now: float) -> TriageDecision:
    """Return the study's decision from all its assessments (at least one), in any order.

    ABNORMAL if any image is; else NOT_ASSESSED if an image that should have been scored was not; else NORMAL if at
    least one frontal was normal; else NOT_ASSESSED. A study whose objects are of different patients is never NORMAL.
    Images that a rejection note of the study names do not count. ``now`` becomes ``tagged_at``, in POSIX seconds.
    """
    current = current_assessments(assessments)
    known = standing(current)
    in_service = [image for image in current if image.counts and not image.shadow]
    mixed = bool(contradiction(image.patient for image in known))
    tag, evidence, reasons = _found(current, in_service, mixed=mixed)
    first = min(assessments, key=lambda image: image.received_at)
    scores = [image for image in evidence if image.probability is not None]
    highest = max(scores, key=lambda image: image.probability or 0.0, default=None)
    prior = is_prior(current, policy.prior_after_days, now)
    order = order_priority(known or current, policy.baseline)
    ordered = [*evidence, *current] if mixed else known or current  # the patient of the evidence first
    findings = study_findings(in_service, policy.urgencies, mixed=mixed)
    urgency = study_urgency(tag, findings)
    numbered = next((image for image in ordered if image.accession_number), first)
    return TriageDecision(
        study_instance_uid=first.study_instance_uid,
        accession_number=numbered.accession_number,
        accession_issuer=numbered.accession_issuer,
        tag=tag,
        probability=highest.probability if highest else None,
        priority=order if prior else priority_of(urgency, order, policy),
        reasons=reasons,
        model_id=highest.model_id if highest else next((i.model_id for i in evidence if i.model_id), None),
        evidence=tuple(sorted({image.sop_instance_uid for image in evidence})),
        received_at=first.received_at,
        tagged_at=now,
        revision=revision(current, policy, mixed=mixed),
        prior=prior,
        calling_ae_title=first.calling_ae_title,
        urgency=urgency,
        findings=findings,
        order_priority=order,
    )


def current_assessments(assessments: Iterable[ImageAssessment]) -> list[ImageAssessment]:
    """Return, for each SOP Instance UID, the content received last, and every earlier one that was abnormal.

    A corrected image replaces a broken one, but different pixels under a known UID never lower a study silently. Images
    that a rejection note names have the reason ``rejected``.
    """
    last: dict[str, ImageAssessment] = {}
    ordered = sorted(with_rejections(assessments), key=lambda image: (image.received_at, image.content_digest))
    for image in ordered:
        last[image.sop_instance_uid] = image
    return [i for i in ordered if last[i.sop_instance_uid] is i or (i.tag is Tag.ABNORMAL and not i.shadow)]


_Found = tuple[Tag, Sequence[ImageAssessment], tuple[Reason, ...]]


def _found(current: Sequence[ImageAssessment], in_service: Sequence[ImageAssessment], *, mixed: bool) -> _Found:
    found = _tag(in_service, any(image.counts and image.shadow for image in current))
    found = _without_rejected(found, current)
    return _of_mixed(*found) if mixed else found


def _tag(in_service: Sequence[ImageAssessment], any_shadowed: bool) -> _Found:
    for tag in (Tag.ABNORMAL, Tag.NOT_ASSESSED):
        having = [image for image in in_service if image.tag is tag]
        if having:
            return tag, having, _reasons(having)
    if any_shadowed:
        return Tag.NOT_ASSESSED, (), (Reason.MODEL_SHADOW,)
    if in_service:
        return Tag.NORMAL, in_service, ()
    return Tag.NOT_ASSESSED, (), (Reason.NO_FRONTAL_IMAGE,)


def _without_rejected(found: _Found, current: Sequence[ImageAssessment]) -> _Found:
    """Return what was found; NOT_ASSESSED if all images are rejected, and in place of NORMAL if one forbids it."""
    tag, evidence, reasons = found
    rejected = [image for image in current if would_count(image)]
    if rejected and reasons == (Reason.NO_FRONTAL_IMAGE,):
        return Tag.NOT_ASSESSED, (), (Reason.REJECTED,)
    if tag is Tag.NORMAL and any(map(forbids_normal, rejected)):
        return Tag.NOT_ASSESSED, evidence, (Reason.REJECTED,)
    return found


def _of_mixed(tag: Tag, evidence: Sequence[ImageAssessment], reasons: tuple[Reason, ...]) -> _Found:
    """Return the tag of a study of different patients: ABNORMAL stays, and NORMAL becomes NOT_ASSESSED."""
    safe = Tag.NOT_ASSESSED if tag is Tag.NORMAL else tag
    return safe, evidence, tuple(sorted({*reasons, Reason.PATIENT_MISMATCH}))


def _reasons(images: Iterable[ImageAssessment]) -> tuple[Reason, ...]:
    return tuple(sorted({reason for image in images for reason in image.reasons}))


def order_priority(assessments: Iterable[ImageAssessment], baseline: Priority) -> Priority:
    """Return the order's own priority: the highest that its images have in (0040,1003), else ``baseline``."""
    known = [
        REQUESTED_PROCEDURE_PRIORITY[image.order_priority]
        for image in assessments
        if image.order_priority in REQUESTED_PROCEDURE_PRIORITY
    ]
    return min(known, key=READING_RANK.__getitem__, default=baseline)


def priority_of(urgency: Urgency, order: Priority, policy: PriorityPolicy) -> Priority:
    """Return HIGH for critical and urgent, LOW for normal where the policy has it, else the order's priority."""
    if urgency.raises:
        return Priority.HIGH
    if urgency is Urgency.NORMAL and policy.lower_normal and order is not Priority.HIGH:
        return Priority.LOW
    return order


def is_prior(assessments: Sequence[ImageAssessment], after_days: float, now: float = math.inf) -> bool:
    """Return whether every image was taken more than ``after_days`` before it came. An image without a date was not.

    Objects that are only listed do not count: our own report comes back with its own date. One day is allowed for time
    zones: dates in DICOM are local to the modality. An image that came after ``now`` (POSIX seconds) came while the
    clock was wrong, and is no prior.
    """
    images = [image for image in assessments if image.counts]
    return bool(after_days and images) and all(
        is_old(image.acquisition_date, image.received_at, after_days) and image.received_at <= now + _CLOCKS_DIFFER_S
        for image in images
    )


def is_old(acquisition_date: str, received_at: float, after_days: float) -> bool:
    """Return whether an image taken on a date (YYYYMMDD) came (POSIX seconds) more than ``after_days`` later."""
    try:
        taken = datetime.strptime(acquisition_date, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return datetime.fromtimestamp(received_at, UTC) - taken > timedelta(days=after_days + 1)


def revision(assessments: Iterable[ImageAssessment], policy: PriorityPolicy, *, mixed: bool = False) -> str:
    """Return a digest of the inputs of the decision. ``mixed``: the objects are of several patients.

    A study of one patient has the same revision as in releases that did not compare patients, and one of whose images
    one finding is known, with the shipped table of urgencies, as in releases before findings.
    """
    parts = sorted(
        "|".join(
            (
                image.sop_instance_uid,
                image.content_digest,
                image.model_digest or "",
                repr(image.operating_point),
                str(image.shadow),
                image.tag,
                *_further_findings(image),
                *([f"rejected {image.rejected}"] if image.rejected else []),
            )
        )
        for image in assessments
    )
    settings = [policy.baseline, str(policy.lower_normal), repr(policy.prior_after_days)]
    if policy.urgencies != SHIPPED_TABLE:
        settings.append(repr(sorted(policy.urgencies.classes.items())))
    if mixed:
        settings.append(Reason.PATIENT_MISMATCH)
    return sha256("\n".join([*parts, *settings]).encode()).hexdigest()


def _further_findings(image: ImageAssessment) -> list[str]:
    """Return what the decision depends on where an image has more than one finding."""
    found = [(result.model_digest, finding) for result in image.results for finding in result.findings]
    if len(found) < 2:
        return []
    return [f"{digest}:{each.name}:{each.threshold!r}:{each.positive}" for digest, each in found]
