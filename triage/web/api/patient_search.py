"""Search by patient: ``POST /api/search``. The query is in the body, as addresses are logged and stored."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.decision.types import Tag
from triage.web.api.sources import Sources
from triage.web.api.worklist import DEFAULT_LIMIT, LARGEST_LIMIT, LONGEST_TEXT, list_away, listed
from triage.web.auth.caller import set_query
from triage.web.http.request_body import read_json
from triage.worklist.list_filter import ListFilter
from triage.worklist.page import BadCursorError
from triage.worklist.query import ListRequest
from triage.worklist.worklist import AWAY

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_TEXT)]


class PatientQuery(BaseModel):
    """Words of a patient's name or ID.

    ``text`` is by_text those or part of an accession number (``q``); ``q`` and ``tag`` filter as on the list.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patient: Text = ""
    text: Text = ""
    q: Text = ""
    tag: Tag | None = None
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=LARGEST_LIMIT)
    cursor: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.patient) == bool(self.text) or (self.text and self.q):
            raise ValueError("send patient, with or without q, or text")
        return self


def routes(sources: Sources) -> list[Route]:
    """Return the route of the search."""
    return [Route("/api/search", partial(_search, sources), methods=["POST"])]


async def _search(sources: Sources, request: Request) -> Response:
    query = await read_json(request, PatientQuery)
    given = {"patient": query.patient, "text": query.text, "q": query.q, "tag": query.tag or ""}
    set_query(request, urlencode({name: value for name, value in given.items() if value}))
    return await run_in_threadpool(_results, sources, query)


def _results(sources: Sources, query: PatientQuery) -> Response:
    tags = ListFilter(frozenset({query.tag} if query.tag else ()))
    try:
        request = ListRequest(query.limit, query.cursor, None, tags, query.text, query.patient, query.q)
        page = sources.query.page(request, sources.now())
    except BadCursorError as error:
        raise HTTPException(400, str(error)) from error
    except AWAY as error:
        return list_away(error)
    entries = [listed(sources, study) for study in page.studies]
    return JSONResponse({"entries": entries, "next_cursor": page.next_cursor, "complete": page.complete})
