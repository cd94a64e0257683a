"""PURE: the tag of an image from the scores of its models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from triage.decision.findings import FindingScore
from triage.decision.operating_points import ImageFacts
from triage.decision.reasons import Reason
from triage.decision.types import ModelResult, Tag
from triage.model.backend import PluginBackend
from triage.model.card import ModelCard
from triage.model.card_finding import plugin_rules_of
from triage.radiograph.crop import is_mostly_border
from triage.radiograph.types import Part, Rejected
from triage.scoring.assess import AssessmentPolicy, PreparedImage
from triage.scoring.finding_scores import finding_scores


@dataclass(frozen=True)
class Conclusion:
    """The tag of one image; ``probability`` None only if nothing was scored. ``detail`` is for people."""

    tag: Tag
    probability: float | None
    reasons: tuple[Reason, ...]
    shadow: bool = False
    detail: str = ""


def conclude(
    prepared: PreparedImage,
    card: ModelCard,
    columns: Sequence[float],
    distance: float,
    policy: AssessmentPolicy,
    now: float = 0.0,
) -> ModelResult:
    """Return the result of a model that scored an image.

    An image that is unlike the training images, has a wider border than they, does not stand upright, or is not known
    to be of a view that the model is for, is not assessed, whatever its score. An image that is not known to show a
    chest may be abnormal, and is never normal. NaN and infinity count as too far; a probability outside 0 to 1 is a
    failure.

    Args:
        prepared: The image.
        card: The card of the model.
        columns: The graph's output ``probability`` of the image.
        distance: In the units of the card's limit; not used for a card without one.
        policy: Decisions of the site.
        now: POSIX seconds, for operating points that expire.
    """
    lead = card.leading
    result = ModelResult(
        model_id=card.model_id,
        model_digest=card.model_sha256,
        tag=Tag.NOT_ASSESSED,
        probability=None,
        distance=distance if math.isfinite(distance) else None,
        distance_limit=card.distance_limit,
        operating_point=lead.threshold,
        prevalence=policy.findings.prevalence.get(card.name),
        shadow=card.name in policy.registry.shadow,
    )
    facts = ImageFacts(str(prepared.view), prepared.attributes.age_years, prepared.attributes.station_name)
    findings = finding_scores(card, columns, facts, policy.findings, now)
    if findings is None:
        return replace(result, reasons=(Reason.WORKER_FAILURE,), detail="a score is no number from 0 to 1")
    first = next(each for each in findings if each.name == lead.name)
    tag, refusal = _tag(prepared, card, distance, findings)
    return replace(
        result,
        tag=tag,
        probability=first.probability,
        findings=findings,
        reasons=(refusal.reason,) if refusal else (),
        detail=refusal.detail if refusal else "",
        operating_point=first.threshold,
        calibrated_probability=first.calibrated_probability,
    )


def not_run(card: ModelCard, refusal: Rejected, *, shadow: bool = False) -> ModelResult:
    """Return the result of a required model that did not run: it is switched off, or failed."""
    return ModelResult(
        card.model_id, card.model_sha256, Tag.NOT_ASSESSED, None, reasons=(refusal.reason,), detail=refusal.detail,
        distance_limit=card.distance_limit, shadow=shadow,
    )  # fmt: skip


def leading(results: Sequence[ModelResult]) -> ModelResult:
    """Return the result that gives the tag of an image: of several, the one with the highest score."""
    tag = combined_tag(results)
    return max((each for each in results if each.tag is tag), key=lambda each: _or_least(each.probability))


def combined_tag(results: Sequence[ModelResult]) -> Tag:
    """Return the tag of an image over all models that the patient requires, at least one.

    ABNORMAL if one says so; else NOT_ASSESSED if one did not assess it; else NORMAL if one says so and no other model
    found anything.
    """
    tags = {each.tag for each in results}
    if Tag.ABNORMAL in tags:
        return Tag.ABNORMAL
    if Tag.NORMAL in tags and all(_allows_normal(each) for each in results):
        return Tag.NORMAL
    return Tag.NOT_ASSESSED


def combine(results: Sequence[ModelResult]) -> Conclusion:
    """Return the conclusion of an image over all models that the patient requires, at least one."""
    tag, lead = combined_tag(results), leading(results)
    having = [each for each in results if each.tag is tag]
    if tag is Tag.NOT_ASSESSED and len(results) > 1:
        having = [each for each in having if not _allows_normal(each)] or having
    return Conclusion(
        tag,
        lead.probability,
        tuple(sorted({reason for each in having for reason in each.reasons})),
        all(each.shadow for each in results),
        _detail(having, name=len(results) > 1),
    )


def _detail(results: Sequence[ModelResult], *, name: bool) -> str:
    """Return the details of several results; ``name`` the model of each, since another one scored the image too."""
    if not name:
        return results[0].detail
    texts = [(each.model_id, each.detail or ", ".join(each.reasons)) for each in results]
    return "; ".join(f"{model}: {text}" for model, text in texts if text)


def _allows_normal(result: ModelResult) -> bool:
    """Return True if another model may call the image normal: this one assessed it and found nothing."""
    return result.tag is Tag.NORMAL or (
        result.tag is Tag.NOT_ASSESSED
        and bool(result.reasons)
        and set(result.reasons) <= {Reason.FINDING_NOT_COVERED, Reason.PLUGIN_ALONE}
    )


def _or_least(probability: float | None) -> float:
    return -1.0 if probability is None else probability


def _tag(
    prepared: PreparedImage, card: ModelCard, distance: float, findings: Sequence[FindingScore]
) -> tuple[Tag, Rejected | None]:
    refusal = _unlike_training(prepared, card, distance)
    if refusal is None and any(each.positive and each.counts for each in findings):
        return Tag.ABNORMAL, None
    refusal = refusal or _no_normal(prepared, card, findings)
    return (Tag.NORMAL, None) if refusal is None else (Tag.NOT_ASSESSED, refusal)


def _unlike_training(prepared: PreparedImage, card: ModelCard, distance: float) -> Rejected | None:
    """Return the reason why the scores are not used."""
    limit = card.distance_limit
    if limit is not None and not (math.isfinite(distance) and distance <= limit):
        return Rejected(Reason.OUT_OF_DISTRIBUTION)
    refusal = _refused_by_layout(prepared, card)
    if refusal is None and not card.covers_view(prepared.view):
        return Rejected(Reason.VIEW_UNVERIFIED)
    return refusal


def _no_normal(prepared: PreparedImage, card: ModelCard, findings: Sequence[FindingScore]) -> Rejected | None:
    """Return the reason why negatives of all findings that count are not called normal."""
    if prepared.part is not Part.CHEST:
        return Rejected(Reason.BODY_PART_UNVERIFIED)
    if others := [each.title for each in findings if each.positive]:
        return Rejected(Reason.FINDING_CONTRADICTS, f"positive: {', '.join(others)}")
    if card.distribution is None:
        return Rejected(Reason.NO_DISTRIBUTION, card.without_distribution)
    if not card.abnormal.negative_is_normal:
        return Rejected(Reason.FINDING_NOT_COVERED)
    if plugins := _behind_negatives(card):
        return Rejected(Reason.PLUGIN_ALONE, f"the plug-in {', '.join(plugins)}")
    return None


def _behind_negatives(card: ModelCard) -> list[str]:
    """Return the plug-ins that the negatives of a card come from: its loader, and rules of findings that count."""
    if isinstance(card.backend, PluginBackend):
        return [card.backend.loader]
    made = plugin_rules_of(card.findings)
    return sorted({rule for each in card.findings if each.counts for rule in made.get(each.name, ())})


def _refused_by_layout(prepared: PreparedImage, card: ModelCard) -> Rejected | None:
    if is_mostly_border(prepared.content, cropped=card.preprocessing.crop == "border"):
        top, left, bottom, right = prepared.content
        inside = f"{100 * (bottom - top):.0f} % of the rows and {100 * (right - left):.0f} % of the columns"
        return Rejected(Reason.WIDE_BORDER, f"only {inside} are inside shutter and border")
    if card.intended_use.orientation == "upright" and not prepared.orientation.is_upright:
        return Rejected(Reason.ORIENTATION_UNVERIFIED, str(prepared.orientation))
    return None
