"""The activation map of a score, for the page to lay over the image."""

from __future__ import annotations

from base64 import b64encode
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from triage.decision.records import assessment_from
from triage.decision.types import ImageAssessment
from triage.model.activation_map import as_png, cells_of, strength, why_none, why_unproven
from triage.operations.trace import StudyTrace
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.web.api.shown import map_shown
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources

_GRID = 64  # rows and columns on which the strongest colour is computed
OFF = "activation maps are switched off: web.activation_map in the settings"


def route(sources: Sources) -> Route:
    """Return the route of a map: below its image, with the same access rule."""
    return Route("/api/studies/{study_instance_uid}/images/{name}/map", partial(_map, sources))


def offered(sources: Sources, trace: StudyTrace) -> dict[str, str] | None:
    """Return, by object name, why it has no map (empty: it has one); None where maps are switched off."""
    if not sources.maps:
        return None
    return {
        each.instance.filed_name: _why_none(sources, each.assessment) if each.assessment else "the image was not scored"
        for each in trace.objects
    }


def _why_none(sources: Sources, assessment: ImageAssessment) -> str:
    """Return why the map of a score is not shown; empty if it is.

    Without the evidence that it points at the finding, a map is none.
    """
    return why_none(assessment) or why_unproven(assessment, sources.cards.of(assessment.model_digest))


def _map(sources: Sources, request: Request) -> JSONResponse:
    refuse_silent(sources.spool, request)
    if not sources.maps:
        raise HTTPException(404, OFF)
    try:
        instance = ReceivedInstance.from_key("{study_instance_uid}+{name}".format(**request.path_params))
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    assessment = _assessment(sources.spool, instance)
    if assessment is None:
        raise HTTPException(404, "there is no such object")
    if why := _why_none(sources, assessment):
        raise HTTPException(404, f"there is no activation map: {why}")
    return JSONResponse(described(assessment), background=map_shown(sources, request, instance.study_instance_uid))


def described(assessment: ImageAssessment) -> dict[str, object]:
    """Return a map as JSON, with score, model and place; ``picture`` is a PNG in base64 that covers the whole image."""
    found, probability, point = assessment.activation_map, assessment.probability, assessment.operating_point
    assert found is not None
    assert probability is not None
    assert point is not None
    return {
        "model_id": assessment.model_id,
        "model_digest": assessment.model_digest,
        "probability": probability,
        "operating_point": point,
        "strongest": float(strength(found, probability, point, _GRID, _GRID).max()),
        "cells": cells_of(found).tolist(),
        "cells_cover": {name: getattr(found, name) for name in ("top", "left", "bottom", "right")},
        "picture": b64encode(as_png(found, probability, point)).decode(),
    }


def _assessment(spool: Store, instance: ReceivedInstance) -> ImageAssessment | None:
    wanted = (instance.sop_instance_uid, instance.content_digest)
    records = spool.assessments(instance.study_instance_uid)
    found = (each for each in records if (each.get("sop_instance_uid"), each.get("content_digest")) == wanted)
    return next(map(assessment_from, found), None)
