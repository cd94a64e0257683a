"""One study for the page: its results, its images, and the acts of readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from pydantic import BaseModel, ConfigDict, Field
from pydicom.dataset import Dataset
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.decision.correction import Correction
from triage.decision.findings import FindingScore
from triage.decision.reasons import Reason
from triage.decision.statement import looked_for
from triage.decision.types import ImageAssessment, ModelResult
from triage.delivery.record import DeliveryRecord, DeliveryState, OutgoingObject
from triage.dicom.attribute_text import text_of
from triage.dicom.byte_source import Openable
from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.operations.trace import ObjectTrace, StudyTrace, gather
from triage.queue.score_queue import ScoreQueue
from triage.spool.instance import ReceivedInstance
from triage.spool.patient import naming_image
from triage.spool.store import Store
from triage.spool.study import read_header, read_study
from triage.web.api import activation_map as maps
from triage.web.api import contacts, disagreements
from triage.web.api.claims import claim_of
from triage.web.api.images import Shown, picture_response
from triage.web.api.shown import study_shown
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.api.worklist import entry, iso_utc
from triage.web.auth.caller import user_of
from triage.web.http.request_body import read_json
from triage.worklist import reader_acts as reading
from triage.worklist.reader_act import readers_of
from triage.worklist.reader_acts import LONGEST_REVISION, Act, NotTaggedError, ReaderAct, ResultChangedError


class Label(BaseModel):
    """The label that a reader gives a study: True abnormal, False normal, None for no label.

    ``revision``: of the result that the reader was shown; empty: not stated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: bool | None
    revision: str = Field("", max_length=LONGEST_REVISION)


def routes(sources: Sources) -> list[Route]:
    """Return the routes of single studies."""
    study = "/api/studies/{study_instance_uid}"
    return [
        Route(study, partial(_detail, sources)),
        Route(f"{study}/images/{{name}}", partial(_image, sources, sources.pictures.get)),
        Route(f"{study}/images/{{name}}/preview", partial(_image, sources, sources.pictures.preview)),
        Route(f"{study}/label", partial(_label, sources), methods=["POST"]),
    ]


def _detail(sources: Sources, request: Request) -> Response:
    user = user_of(request)
    refuse_silent(sources.spool, request)
    uid = request.path_params["study_instance_uid"]
    try:
        trace = gather(uid, sources.spool, ScoreQueue(sources.redis).describe)
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error
    except LookupError as error:
        raise HTTPException(404, str(error)) from error
    contacts.note_opening(sources, request, trace)
    header = _header(sources.spool, trace)
    if header is not None and not sources.patient_names:
        header.PatientName = ""
    acts = reading.acts_of(sources.spool, uid)
    more = {**sources.links.of(sources.spool, uid, trace.decision), **contacts.pages_about(sources, uid)}
    more |= claim_of(sources, uid)
    more["disagreements"] = disagreements.stated(sources, uid, user.name)
    noting = study_shown(sources, request, uid, trace.decision.revision) if trace.decision else None
    content = {**described(trace, header, acts, user.name), "maps": maps.offered(sources, trace), **more}
    return JSONResponse(content, background=noting)


def described(trace: StudyTrace, header: Dataset | None, acts: list[ReaderAct], user: str) -> dict[str, object]:
    """Return a study as the page shows it to ``user``."""
    read = reading.leaving_act(acts)
    current = trace.decision is not None and read is not None and read.revision == trace.decision.revision
    reasons = [*(trace.decision.reasons if trace.decision else ())]
    reasons += [reason for each in trace.objects if each.assessment for reason in each.assessment.reasons]
    own_label = reading.labels(acts).get(user)
    return {
        "study_instance_uid": trace.study_instance_uid,
        "patient": _patient(header),
        "decision": entry(trace.decision) if trace.decision else None,
        "looked_for": looked_for(trace.decision) if trace.decision and trace.decision.findings else [],
        "meanings": {reason: Reason(reason).meaning for reason in dict.fromkeys(reasons)},
        "objects": [_object(each) for each in trace.objects],
        "history": [entry(each) for each in reversed(trace.history)],
        "deliveries": [_delivery(trace.study_instance_uid, each) for each in trace.deliveries],
        "to_be_told": list(trace.undecided_destinations),
        "corrections": [_correction(each) for each in reversed(trace.corrections)],
        "read": step_of(read) if read and current else None,
        "readings": [step_of(each) for each in readers_of(acts, trace.decision.revision if trace.decision else "")],
        "label": own_label.label if own_label else None,
        "acts": [step_of(each) for each in reversed(acts)],
    }


def _patient(header: Dataset | None) -> dict[str, str]:
    names = (
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDescription",
        "StudyDate",
    )
    return {name: "" if header is None else text_of(header, name) for name in names}


def _header(spool: Store, trace: StudyTrace) -> Dataset | None:
    """Return the attributes of the image that names the study's patient, as the list and messages do.

    Before the first decision those of the first assessed image; None where records of the study cannot be read.
    """
    assessed = [each.assessment for each in trace.objects if each.assessment]
    if trace.decision is None:
        return read_header(spool, assessed[0]) if assessed else None
    try:
        known = read_study(spool, trace.study_instance_uid)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    images = known[1] if known else ()
    return (naming_image(images) or images[0]).header if images else None


def _object(each: ObjectTrace) -> dict[str, object]:
    return {
        "sop_instance_uid": each.instance.sop_instance_uid,
        "name": each.instance.filed_name,
        "kept": each.stored is not None,
        "received_at": iso_utc(each.receipt.received_at) if each.receipt.received_at else None,
        "calling_ae_title": each.receipt.calling_ae_title,
        "waiting": each.waiting,
        "job": each.job,
        "dead_letter": None if each.note is None else {"key": each.instance.key, "error": each.note.get("error", "")},
        "assessment": _assessment(each.assessment) if each.assessment else None,
    }


_PROJECTION = ("ap_share", "projection", "view_contradicted")
_NUMBERS = ("age_years", "distance", "distance_limit", "calibrated_probability", "prevalence")


def _assessment(image: ImageAssessment) -> dict[str, object]:
    names = ("modality", "view", "tag", "probability", "operating_point", "reasons", "detail", "model_id", "shadow")
    more: dict[str, object] = {
        "seconds_to_tag": round(image.assessed_at - image.received_at, 3),
        "counts": image.counts,
    }
    more["models"] = _models(image)
    more["findings"] = [_finding(result, each) for result in image.results for each in result.findings]
    return {name: getattr(image, name) for name in (*names, *_NUMBERS, *_PROJECTION)} | more


def _models(image: ImageAssessment) -> list[dict[str, str]]:
    """Return the models that scored an image, each once, by the digest of its weights."""
    scored = [(each.model_digest, each.model_id) for each in image.results]
    known = {digest: name for digest, name in [*scored, (image.model_digest, image.model_id)] if digest and name}
    return [{"model_id": name, "model_digest": digest} for digest, name in known.items()]


def _finding(result: ModelResult, finding: FindingScore) -> dict[str, object]:
    return {**asdict(finding), "model_id": result.model_id, "assessed": result.assessed}


def _delivery(study_instance_uid: str, record: DeliveryRecord) -> dict[str, object]:
    item = OutgoingObject(0, 0, record.number, study_instance_uid, record.revision, record.destination)
    return {
        "destination": record.destination,
        "number": record.number,
        "state": record.state,
        "tag": record.tag,
        "correction": bool(record.correction),
        "built_at": iso_utc(record.built_at),
        "tries": [{**each, "at": iso_utc(each["at"])} for each in record.tries],
        "dead_letter": item.key if record.state is DeliveryState.DEAD else None,
    }


def _correction(act: Correction) -> dict[str, object]:
    return {"status": act.status, "at": iso_utc(act.at), "by": act.by, "reason": act.reason}


def step_of(step: ReaderAct) -> dict[str, object]:
    """Return an act of a reader as JSON."""
    return {"act": step.act, "at": iso_utc(step.at), "who": step.who, "through": step.through, "label": step.label}


async def _image(sources: Sources, pictures: Callable[[Openable], Shown], request: Request) -> Response:
    uid = request.path_params["study_instance_uid"]
    try:
        instance = ReceivedInstance.from_key(f"{uid}+{request.path_params['name']}")
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    await run_in_threadpool(refuse_silent, sources.spool, request)
    stored = await run_in_threadpool(sources.spool.stored_object, instance)
    if stored is None:
        raise HTTPException(404, "this object is no longer stored")
    return picture_response(await run_in_threadpool(pictures, stored))


async def _label(sources: Sources, request: Request) -> Response:
    return await run_in_threadpool(_act, sources, request, await read_json(request, Label))


def _act(sources: Sources, request: Request, said: Label) -> Response:
    who, uid = user_of(request).name, request.path_params["study_instance_uid"]
    refuse_silent(sources.spool, request)
    via = reading.Via.PAGE if request.headers.get("x-triage-page") else reading.Via.API
    label = None if said.label is None else int(said.label)
    marking = reading.Marking(Act.LABEL, sources.now(), who, via, label, seen=said.revision)
    try:
        step = reading.mark(sources.spool, sources.worklist, uid, marking)
        disagreements.note_label(sources, uid)
    except ResultChangedError as error:
        raise HTTPException(409, str(error)) from error
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error
    except NotTaggedError as error:
        raise HTTPException(404, str(error)) from error
    except RedisError as error:
        raise HTTPException(503, "it is saved, but the list is not updated: Redis does not answer") from error
    except OSError as error:
        raise HTTPException(507, f"it could not be saved ({cause(error)}): tell the administrator") from error
    return JSONResponse(step_of(step))
