"""Presence: the studies that users have open on their pages now. It is not known while Redis is away."""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.dicom.uid import InvalidUIDError
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.auth.caller import user_of
from triage.web.http.request_body import read_json
from triage.worklist.presence import OpenPage, by_study

_UNKNOWN = "who has a study open is not known: Redis does not answer"


class PageState(BaseModel):
    """Body of a page's heartbeat: its random name, and whether it shows the study still."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: str = Field(pattern=r"^[0-9a-f]{32}$")
    open: bool


def routes(sources: Sources) -> list[Route]:
    """Return the routes of heartbeats, and of what is open."""
    return [
        Route("/api/studies/{study_instance_uid}/presence", partial(_heartbeat, sources), methods=["POST"]),
        Route("/api/open", partial(_open, sources)),
    ]


def open_now(sources: Sources) -> dict[str, dict[str, int]] | None:
    """Return the numbers of open pages by study and user; None where Redis does not answer."""
    try:
        return by_study(sources.presence.now())
    except RedisError:
        return None


async def _heartbeat(sources: Sources, request: Request) -> Response:
    state = await read_json(request, PageState)
    return await run_in_threadpool(_told, sources, request, state)


def _told(sources: Sources, request: Request, state: PageState) -> Response:
    uid = request.path_params["study_instance_uid"]
    refuse_silent(sources.spool, request)
    page = OpenPage(state.page, user_of(request).name, uid)
    try:
        if not state.open:
            sources.presence.leave(page)
        elif _is_shown(sources, uid):
            sources.presence.renew(page)
    except RedisError as error:
        raise HTTPException(503, _UNKNOWN) from error
    return JSONResponse({"open": state.open})


def _is_shown(sources: Sources, uid: str) -> bool:
    """Return False for a silent study, which only admins see: that it is open would tell readers of it.

    Raises HTTPException 400, and 404 if nothing is known of the study.
    """
    try:
        decision = sources.spool.decision(uid)
        if decision is None and not sources.spool.is_unfinished(uid):
            raise HTTPException(404, f"nothing is known of study {uid}")
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error
    return not (decision and decision.get("silent"))


def _open(sources: Sources, request: Request) -> JSONResponse:
    return JSONResponse({"open": open_now(sources)})
