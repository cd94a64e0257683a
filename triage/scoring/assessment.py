"""The record of one received object: what was found about it, as it is written into the spool."""

from __future__ import annotations

import time
from dataclasses import replace

from triage.decision.types import ImageAssessment
from triage.dicom.part10 import Receipt
from triage.scoring.assess import projection_seen, view_contradicted
from triage.scoring.inference import ScoredImage
from triage.spool.instance import ReceivedInstance


def to_assessment(instance: ReceivedInstance, receipt: Receipt, scored: ScoredImage) -> ImageAssessment:
    """Return the assessment of a received object."""
    assessment = _described(instance, receipt, scored)
    lead = scored.leading
    if lead is None:
        return assessment
    result = lead.result
    ap_share = projection_seen(scored.prepared, scored.conclusion.reasons)
    return replace(
        assessment,
        model_id=result.model_id,
        model_digest=result.model_digest,
        operating_point=result.operating_point,
        distance=result.distance,
        distance_limit=result.distance_limit,
        calibrated_probability=result.calibrated_probability,
        prevalence=result.prevalence,
        ap_share=ap_share,
        view_contradicted=view_contradicted(scored.prepared, ap_share),
        shadow_scores=scored.shadow_scores,
        activation_map=lead.activation_map,
        no_map=lead.no_map,
        stages={**scored.prepared.stages, "infer": sum(each.seconds for each in scored.models)},
        results=tuple(each.result for each in scored.models),
    )


def _described(instance: ReceivedInstance, receipt: Receipt, scored: ScoredImage) -> ImageAssessment:
    """Return the part that scored and rejected images share."""
    prepared, conclusion, now = scored.prepared, scored.conclusion, time.time()
    attributes = prepared.attributes
    return ImageAssessment(
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=attributes.series_instance_uid,
        sop_instance_uid=instance.sop_instance_uid,
        content_digest=instance.content_digest,
        sop_class_uid=attributes.sop_class_uid or receipt.sop_class_uid,
        accession_number=attributes.accession_number,
        modality=attributes.modality,
        view=prepared.view,
        calling_ae_title=receipt.calling_ae_title,
        received_at=receipt.received_at or now,
        assessed_at=now,
        tag=conclusion.tag,
        probability=conclusion.probability,
        reasons=conclusion.reasons,
        model_id=None,
        age_years=attributes.age_years,
        order_priority=attributes.order_priority,
        shadow=conclusion.shadow,
        stages=dict(prepared.stages),
        acquisition_date=attributes.acquisition_date,
        detail=conclusion.detail,
        accession_issuer=attributes.accession_issuer,
        patient=attributes.patient,
        association=receipt.association,
        rejection=prepared.rejection,
    )
