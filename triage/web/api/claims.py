"""Claims of workitems on the page, where workitems are on (web.ups); see ``worklist/claims.py``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.api.worklist import iso_utc
from triage.web.auth.caller import Role, user_of
from triage.web.http.request_body import read_json
from triage.worklist.claims import Claims, Held, HeldError, NotClaimedError, Person, held
from triage.worklist.site_claims import site_claim
from triage.worklist.workitem_state import RefusedError
from triage.worklist.worklist import AWAY

logger = logging.getLogger(__name__)


class ClaimRequest(BaseModel):
    """Body of a claim: an empty object."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReleaseRequest(BaseModel):
    """Body of a release: the reason in words, one line, without a patient's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    ]


def routes(sources: Sources) -> list[Route]:
    """Return the routes of claims."""
    study = "/api/studies/{study_instance_uid}"
    return [
        Route(f"{study}/claim", partial(_claim, sources), methods=["POST"]),
        Route(f"{study}/release", partial(_release, sources), methods=["POST"]),
    ]


def claim_of(sources: Sources, study_instance_uid: str) -> dict[str, object]:
    """Return the field ``claim`` of a study: who holds its workitem, here or at a manager of the site, or null.

    Nothing where workitems are off and no poll of a manager has shown a claim.
    """
    lasts = held(sources.spool, study_instance_uid) if sources.workitems else None
    if lasts is None and (elsewhere := site_claim(sources.spool, study_instance_uid, sources.now())):
        return {"claim": {"by": elsewhere.by or elsewhere.manager, "via": "site", "at": iso_utc(elsewhere.at)}}
    return {"claim": _described(lasts)} if sources.workitems else {}


def note_read(sources: Sources, study_instance_uid: str, person: Person) -> None:
    """Complete the workitem that a person claimed whose reading of the study is recorded. Raises OSError."""
    claims, lasts = _claims(sources), held(sources.spool, study_instance_uid)
    if claims is not None and lasts is not None and lasts.is_of(person.name):
        claims.complete(study_instance_uid, person)
        tell(sources, study_instance_uid)


def note_listed(sources: Sources, study_instance_uid: str) -> None:
    """Make the next workitem of a study that is back on the list. Raises OSError."""
    if claims := _claims(sources):
        claims.reopen(study_instance_uid)


def tell(sources: Sources, study_instance_uid: str) -> None:
    """Tell open pages that the workitem of a study has changed; without the list they see it later."""
    try:
        sources.worklist.touch(study_instance_uid)
    except AWAY:
        logger.warning("pages are not told that the workitem of study %s changed: the list is away", study_instance_uid)


async def _claim(sources: Sources, request: Request) -> Response:
    await read_json(request, ClaimRequest)
    return await run_in_threadpool(_act, sources, request, lambda claims, uid, person: claims.claim(uid, person))


async def _release(sources: Sources, request: Request) -> Response:
    reason = (await read_json(request, ReleaseRequest)).reason
    return await run_in_threadpool(
        _act, sources, request, lambda claims, uid, person: claims.release(uid, person, reason)
    )


def _act(sources: Sources, request: Request, doing: Callable[[Claims, str, Person], Held | None]) -> Response:
    claims, uid, user = _claims(sources), request.path_params["study_instance_uid"], user_of(request)
    if claims is None:
        raise HTTPException(404, "workitems are switched off (web.ups)")
    refuse_silent(sources.spool, request)
    try:
        lasts = doing(claims, uid, Person(user.name, sources.now(), admin=user.role is Role.ADMIN))
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error
    except (HeldError, NotClaimedError, RefusedError) as error:
        raise HTTPException(409, str(error)) from error
    except OSError as error:
        raise HTTPException(507, f"it could not be saved ({cause(error)}): tell the administrator") from error
    tell(sources, uid)
    return JSONResponse({"claim": _described(lasts)})


def _claims(sources: Sources) -> Claims | None:
    return None if sources.workitems is None else Claims(sources.spool, sources.workitems)


def _described(lasts: Held | None) -> dict[str, object] | None:
    return None if lasts is None else {"by": lasts.by, "via": lasts.via, "at": iso_utc(lasts.at)}
