"""Other studies of a study's patient: ``GET /api/studies/{study_instance_uid}/patient``."""

from __future__ import annotations

from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.spool.study import StudyImage
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.api.worklist import entry, iso_utc
from triage.worklist import reader_acts as reading
from triage.worklist.patient_studies import OtherStudy, filed_name, others

_AT_MOST_S = 1.0


def route(sources: Sources) -> Route:
    """Return the route of the other studies."""
    return Route("/api/studies/{study_instance_uid}/patient", partial(_patient, sources))


def _patient(sources: Sources, request: Request) -> JSONResponse:
    refuse_silent(sources.spool, request)
    uid = request.path_params["study_instance_uid"]
    try:
        if not sources.spool.assessments(uid):
            raise HTTPException(404, f"no scored object of study {uid} is known")
        found = others(sources.patients, sources.spool, uid, _AT_MOST_S)
        studies = [_study(sources, each) for each in found.studies]
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error
    except OSError as error:
        raise HTTPException(503, f"the other studies cannot be read ({cause(error)})") from error
    return JSONResponse(
        {
            "studies": studies,
            "more": found.more,
            "left_out": dict(found.left_out),
            "why_none": found.why_none,
            "complete": found.complete,
        }
    )


def _study(sources: Sources, study: OtherStudy) -> dict[str, object]:
    decision, facts = study.decision, study.facts
    read = reading.leaving_act(reading.acts_of(sources.spool, decision.study_instance_uid))
    return {
        **entry(decision),
        "match": study.match,
        "study_date": study.study_date,
        "acquired_at": None if facts.acquired_at is None else iso_utc(facts.acquired_at),
        "study_description": facts.study_description,
        "read": read is not None,
        "images": [_image(each) for each in study.images if each.stored is not None],
    }


def _image(image: StudyImage) -> dict[str, str]:
    assessment = image.assessment
    return {"name": filed_name(image), "modality": assessment.modality, "view": assessment.view}
