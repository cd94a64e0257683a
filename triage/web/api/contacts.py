"""Contacts of readers with studies, where paging asks for them: a study was opened, a page was acknowledged."""

from __future__ import annotations

import logging
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.operations.trace import StudyTrace
from triage.paging.store import PagingFiles, pages_of
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.api.worklist import iso_utc
from triage.web.auth.caller import user_of
from triage.worklist.contacts import ContactKind, record_contact

logger = logging.getLogger(__name__)


def routes(sources: Sources) -> list[Route]:
    """Return the route of acknowledgements."""
    path = "/api/studies/{study_instance_uid}/acknowledgement"
    return [Route(path, partial(_acknowledge, sources), methods=["POST"])]


def note_opening(sources: Sources, request: Request, trace: StudyTrace) -> None:
    """Note that a reader has opened a study on the page, if it is one that may be paged.

    A program that asks, or a page in front of which there is no person, opens nothing.
    """
    headers = request.headers
    raised = trace.decision is not None and trace.decision.raised
    if not (sources.paging and raised) or "x-triage-page" not in headers or "x-triage-idle" in headers:
        return
    try:
        uid, who = trace.study_instance_uid, user_of(request).name
        record_contact(sources.spool, uid, ContactKind.OPENED, who, sources.now())
    except OSError as error:  # the study is shown; its page may be sent although it was opened
        logger.error("the opening of study %s cannot be noted: %s", trace.study_instance_uid, cause(error))


def note_put_back(sources: Sources, study_instance_uid: str) -> None:
    """Have paging watch a study again that a reader has put back on the list. Raises OSError."""
    if sources.paging and sources.spool.decision(study_instance_uid) is not None:
        with sources.spool.study_lock(study_instance_uid):
            PagingFiles(sources.spool).mark(study_instance_uid)


def pages_about(sources: Sources, study_instance_uid: str) -> dict[str, object]:
    """Return the field ``pages`` of a study, those that were sent about it; nothing where paging is switched off."""
    if not sources.paging:
        return {}
    pages = pages_of(sources.spool, study_instance_uid)
    return {"pages": [{"number": each.number, "at": iso_utc(each.at), "rota": each.rota} for each in pages]}


def _acknowledge(sources: Sources, request: Request) -> Response:
    uid = request.path_params["study_instance_uid"]
    refuse_silent(sources.spool, request)
    if not sources.paging:
        raise HTTPException(404, "paging is switched off (paging.after_minutes)")
    try:
        if sources.spool.decision(uid) is None:
            raise HTTPException(404, f"no tagged study has the Study Instance UID {uid}")
        noted = record_contact(sources.spool, uid, ContactKind.ACKNOWLEDGED, user_of(request).name, sources.now())
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error
    except OSError as error:
        raise HTTPException(507, f"it could not be saved ({cause(error)}): tell the administrator") from error
    return JSONResponse({"new": noted})
