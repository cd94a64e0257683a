"""The content of a page, from the files of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from typing import Literal

from triage.decision.decide import current_assessments
from triage.decision.findings import FindingState, StudyFinding
from triage.decision.records import assessment_from, decision_from
from triage.decision.types import ImageAssessment, ModelResult, TriageDecision
from triage.decision.urgency import URGENCY_RANK
from triage.model.card import ModelCard
from triage.paging.cards import InstalledCards
from triage.paging.event import PagingEvent
from triage.paging.message import PagedFinding, PageFacts
from triage.paging.predictive_value import PredictiveValue, at_operating_point
from triage.spool.patient import Patient, patient_among
from triage.spool.store import Store
from triage.spool.study import read_study

Identifies = Literal["link", "accession_number", "patient_name"]
"""How a page names its study: by its address alone, with the accession number, with the patient's name, too."""

_UNREAD = "not known now, as the images cannot be read"


@dataclass(frozen=True)
class SiteTexts:
    """Choices of the site for its pages.

    ``prevalence``: by model name. ``address``: that of the worklist page, without a slash at its end; empty: no link.
    """

    identifies: Identifies = "accession_number"
    address: str = ""
    prevalence: Mapping[str, float] = field(default_factory=dict)
    zone: tzinfo = UTC
    repeat_s: float = 0.0


def facts_of(spool: Store, cards: InstalledCards, texts: SiteTexts, event: PagingEvent, now: float) -> PageFacts:
    """Return the content of the next page of an event.

    Raises OSError, ValueError, KeyError or TypeError for a study whose files cannot be read.
    """
    bare = bare_facts(texts, event, now)
    record = spool.decision(event.study_instance_uid)
    if record is None:
        return bare
    decision = decision_from(record)
    named = texts.identifies == "patient_name"
    return replace(
        bare,
        findings=_findings(spool, cards, texts, decision),
        accession_number="" if texts.identifies == "link" else decision.accession_number,
        patient=_patient(spool, event.study_instance_uid) if named else "",
    )


def _patient(spool: Store, study_instance_uid: str) -> str:
    """Return the patient's name. While the images cannot be read the page says so, and is sent: it is urgent."""
    known = read_study(spool, study_instance_uid)
    images = known[1] if known else ()
    patient = patient_among(images)
    return _UNREAD if patient == Patient() and any(image.unread for image in images) else patient.name


def bare_facts(texts: SiteTexts, event: PagingEvent, now: float) -> PageFacts:
    """Return what is known of an event without its study's files: a page is sent whatever is wrong with them."""
    uid = event.study_instance_uid
    return PageFacts(
        identity=event.identity,
        number=event.number + 1,
        since=event.since,
        now=now,
        repeat_s=texts.repeat_s,
        study_instance_uid=uid,
        address=f"{texts.address}/studies/{uid}" if texts.address else "",
        contact=event.contact,
        contact_at=event.contact_at,
        zone=texts.zone,
    )


def _findings(
    spool: Store, cards: InstalledCards, texts: SiteTexts, decision: TriageDecision
) -> tuple[PagedFinding, ...]:
    """Return what was found, the most urgent first."""
    images = current_assessments(assessment_from(each) for each in spool.assessments(decision.study_instance_uid))
    results = {result.model_id: result for image in images for result in image.model_results}
    present = [each for each in decision.findings if each.state is FindingState.PRESENT]
    if present:
        ordered = sorted(present, key=lambda each: URGENCY_RANK[each.urgency])
        return tuple(_present(cards, texts, each, results.get(each.model_id)) for each in ordered)
    scored = [each for each in images if each.sop_instance_uid in decision.evidence and each.probability is not None]
    highest = max(scored, key=lambda image: image.probability or 0.0, default=None)
    return () if highest is None else (_of_earlier_release(cards, texts, highest),)


def _present(cards: InstalledCards, texts: SiteTexts, found: StudyFinding, result: ModelResult | None) -> PagedFinding:
    """Return a finding. Its predictive value is known of the leading one alone: the site's prevalence is of that."""
    card = cards.of_digest(result.model_digest if result else None)
    known = card is not None and found.name == card.leading.name
    ppv = _value(card, texts, found.threshold) if card is not None and known else None
    return PagedFinding(found.title, found.model_id, found.probability, found.threshold, ppv, found.urgency)


def _of_earlier_release(cards: InstalledCards, texts: SiteTexts, image: ImageAssessment) -> PagedFinding:
    """Return the one finding of a decision that was made before decisions had findings."""
    card = cards.of_digest(image.model_digest)
    title = "abnormal" if card is None else card.leading.title
    ppv = None if card is None else _value(card, texts, image.operating_point)
    return PagedFinding(title, image.model_id or "", image.probability, image.operating_point, ppv)


def _value(card: ModelCard, texts: SiteTexts, threshold: float | None) -> PredictiveValue | None:
    return at_operating_point(card.leading.operating_points, threshold, texts.prevalence.get(card.name))
