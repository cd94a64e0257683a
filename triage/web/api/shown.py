"""The record of what was shown to whom and when, kept for each look on the page; see ``worklist/shown.py``."""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.web.api.sources import Sources
from triage.web.auth.caller import user_of
from triage.web.http.request_body import read_json
from triage.worklist.shown import ON_STUDY_PAGE, Item, Look, Place, record_shown

logger = logging.getLogger(__name__)

_ROWS_AT_MOST = 20
_Uid = Annotated[str, Field(max_length=64, pattern=r"^[0-9.]+$")]
_Revision = Annotated[str, Field(min_length=1, max_length=64)]


class RowsShown(BaseModel):
    """Body of a page's report: rows that were on the screen for a while, by study their revision, and their columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: dict[_Uid, _Revision] = Field(max_length=_ROWS_AT_MOST)
    visible: tuple[Item, ...] = Field(max_length=len(Item))


def routes(sources: Sources) -> list[Route]:
    """Return the route of reports about the list."""
    return [Route("/api/shown", partial(_rows, sources), methods=["POST"])]


def study_shown(sources: Sources, request: Request, study_instance_uid: str, revision: str) -> BackgroundTask | None:
    """Return what notes, when the response is sent, that a user's page shows a study; None for another client."""
    return _noting(sources, request, study_instance_uid, Place.STUDY, (ON_STUDY_PAGE, revision))


def map_shown(sources: Sources, request: Request, study_instance_uid: str) -> BackgroundTask | None:
    """Return what notes, when the response is sent, that a user's page shows an activation map; else None."""
    return _noting(sources, request, study_instance_uid, Place.MAP, ((Item.MAP,), ""))


def _noting(
    sources: Sources, request: Request, uid: str, place: Place, shown: tuple[tuple[Item, ...], str]
) -> BackgroundTask | None:
    """Return what records a look of a page; a program that asks is none. The study waits for no lock and no disk."""
    if "x-triage-page" not in request.headers:
        return None
    return BackgroundTask(_record, sources, uid, Look(place, sources.now(), user_of(request).name, *shown))


async def _rows(sources: Sources, request: Request) -> Response:
    shown = await read_json(request, RowsShown)
    if "x-triage-idle" in request.headers:  # no person is known to be in front of the page: it tells again
        return JSONResponse({"noted": False})
    await run_in_threadpool(_record_rows, sources, user_of(request).name, shown)
    return JSONResponse({"noted": True})


def _record_rows(sources: Sources, who: str, shown: RowsShown) -> None:
    visible, now = tuple(dict.fromkeys(shown.visible)), sources.now()
    for uid, revision in shown.rows.items():
        _record(sources, uid, Look(Place.LIST, now, who, visible, revision))


def _record(sources: Sources, uid: str, look: Look) -> None:
    try:
        decision = sources.spool.decision(uid)
        if look.place is Place.LIST and decision is not None and decision.get("silent"):
            return  # it is in no list
        record_shown(sources.spool, uid, look)
    except InvalidUIDError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.error("study %s was shown (%s), and that cannot be recorded: %s", uid, look.place, cause(error))
