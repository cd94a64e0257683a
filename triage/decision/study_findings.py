"""PURE: the findings of a study and its urgency, from the assessments of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from triage.decision.findings import FindingScore, FindingState, StudyFinding
from triage.decision.types import ImageAssessment, ModelResult, Tag
from triage.decision.urgency import URGENCY_RANK, Urgency, UrgencyTable

_Scored = tuple[ImageAssessment, ModelResult, FindingScore]


def study_findings(
    images: Sequence[ImageAssessment], table: UrgencyTable, *, mixed: bool = False
) -> tuple[StudyFinding, ...]:
    """Return each finding that a model in service scored, in the order of the models and their cards.

    Args:
        images: The current images of the study that count, without those that only a shadow model scored.
        table: The site's urgency of findings.
        mixed: The images are of different patients: nothing is absent then.
    """
    scores: dict[str, list[_Scored]] = {}
    for image in images:
        for result in image.model_results:
            for finding in result.findings:
                scores.setdefault(finding.name, []).append((image, result, finding))
    return tuple(_over_images(found, images, table, mixed=mixed) for found in scores.values())


def study_urgency(tag: Tag, findings: Sequence[StudyFinding]) -> Urgency:
    """Return the urgency of a study: of its most urgent finding that counts.

    An ABNORMAL study of which no finding is recorded (of a release before findings) is urgent.
    """
    if tag is not Tag.ABNORMAL:
        return Urgency.NORMAL if tag is Tag.NORMAL else Urgency.NOT_ASSESSED
    found = [each.urgency for each in findings if each.counts and each.state is FindingState.PRESENT]
    return min(found, key=URGENCY_RANK.__getitem__, default=Urgency.URGENT)


def _over_images(
    scored: Sequence[_Scored], images: Sequence[ImageAssessment], table: UrgencyTable, *, mixed: bool
) -> StudyFinding:
    assessed = [each for each in scored if each[1].assessed]
    positive = [each for each in assessed if each[2].positive]
    covered = {image.sop_instance_uid for image, _, _ in assessed}
    everywhere = not mixed and covered == {image.sop_instance_uid for image in images}
    _, result, best = max(positive or assessed or scored, key=lambda each: each[2].probability)
    found = StudyFinding(
        name=best.name,
        title=best.title,
        code=best.code,
        state=FindingState.NOT_ASSESSED,
        probability=best.probability if assessed else None,
        threshold=best.threshold if assessed else None,
        counts=best.counts,
        urgency=Urgency.NOT_ASSESSED,
        model_id=result.model_id,
        point=best.point,
    )
    if positive:
        uids = tuple(sorted({image.sop_instance_uid for image, _, _ in positive}))
        return replace(found, state=FindingState.PRESENT, urgency=table.of(best.name), images=uids)
    if not everywhere:
        return found
    absent = all(finding.negative_means_absent for _, _, finding in assessed)
    return replace(found, state=FindingState.ABSENT if absent else FindingState.UNDETERMINED, urgency=Urgency.NORMAL)
