"""Search by patient: ``POST /api/search``. What is looked for stands in the body: addresses are logged and kept."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.decision.types import Tag
from triage.web.api.sources import Sources
from triage.web.api.worklist import DEFAULT_LIMIT, LARGEST_LIMIT, LONGEST_TEXT, entry, without_redis
from triage.web.auth.caller import looks_for
from triage.web.http.json_body import body
from triage.worklist.page import BadCursorError
from triage.worklist.search import Search

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_TEXT)]


class PatientQuery(BaseModel):
    """What is looked for: words of a patient's name or ID, or ``text``, which is either those or ``q``; and, if given,
    ``q`` and ``tag`` as of the list.
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
            raise ValueError("give patient, with or without q, or text")
        return self


def routes(sources: Sources) -> list[Route]:
    """The address of the search."""
    return [Route("/api/search", partial(_search, sources), methods=["POST"])]


async def _search(sources: Sources, request: Request) -> Response:
    query = await body(request, PatientQuery)
    asked = {"patient": query.patient, "text": query.text, "q": query.q, "tag": query.tag or ""}
    looks_for(request, urlencode({name: value for name, value in asked.items() if value}))
    return await run_in_threadpool(_found, sources, query)


def _found(sources: Sources, query: PatientQuery) -> Response:
    try:
        studies, known = sources.patients.find(query.patient or query.text)
        either = Search(query.tag, query.text, named=studies)
        search = either if query.text else Search(query.tag, query.q, studies)
        page = sources.worklist.page(query.cursor, query.limit, sources.now(), sources.waiting_cap_s, search=search)
        complete = known and sources.worklist.is_built() and not page.skipped
    except BadCursorError as error:
        raise HTTPException(400, str(error)) from error
    except RedisError as error:
        return without_redis(error)
    entries = [entry(decision) for decision in page.entries]
    return JSONResponse({"entries": entries, "next_cursor": page.next_cursor, "complete": complete})
