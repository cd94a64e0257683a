"""``POST /api/requeue``: try a dead letter again."""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.operations import dead_letters
from triage.web.api.sources import Sources
from triage.web.auth.caller import set_study
from triage.web.http.request_body import read_json


class RequeueRequest(BaseModel):
    """Body of the request: the key of a dead letter, as `triage dead-letters` prints it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str


def routes(sources: Sources) -> list[Route]:
    """Return the route."""
    return [Route("/api/requeue", partial(_requeue, sources), methods=["POST"])]


async def _requeue(sources: Sources, request: Request) -> Response:
    key = (await read_json(request, RequeueRequest)).key
    await run_in_threadpool(set_study, request, dead_letters.study_named_in(key))
    try:
        await run_in_threadpool(requeue, sources, key)
    except FileNotFoundError as error:
        raise HTTPException(404, "there is no such dead letter: it may have been requeued already") from error
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    return JSONResponse({"requeued": key})


def requeue(sources: Sources, key: str) -> None:
    """Try an object or a delivery again. Raises FileNotFoundError, and ValueError for an invalid key."""
    dead_letters.requeue(sources.spool, sources.redis, [dead_letters.key_from(key)], sources.now())
