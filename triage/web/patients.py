"""Search by patient: ``POST /api/search``. What is looked for stands in the body: addresses are logged and kept.

Who the studies are of is read from the spool and held in this process alone: not in Redis, not in a file of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.decision import Tag
from triage.patient_names import names, searchable, words
from triage.patients import patient_of
from triage.spool import Spool
from triage.web.access import looks_for
from triage.web.api import DEFAULT_LIMIT, LARGEST_LIMIT, LONGEST_TEXT, Sources, entry, without_redis
from triage.web.studies import body
from triage.worklist import BadCursorError, Worklist
from triage.worklist_search import Search

_AT_MOST_S = 2.0
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_TEXT)]


class Query(BaseModel):
    """What is looked for: words of a patient's name or ID; and, if given, ``q`` and ``tag`` as of the list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patient: Annotated[Text, StringConstraints(min_length=1)]
    q: Text = ""
    tag: Tag | None = None
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=LARGEST_LIMIT)
    cursor: str | None = None


class Patients:
    """Who the studies of the index are of. What was read once is read again when something happened to the study."""

    def __init__(self, spool: Spool, index: Worklist, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._index = index
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}
        self._caught_up_at: int | None = None  # the index's number of changes
        self._reading = threading.Lock()

    def find(self, text: str) -> tuple[frozenset[str], bool]:
        """The studies of patients whom ``text`` names, and whether all studies are known: some seconds' reading each
        time, until they are.
        """
        with self._reading:
            complete = self._catch_up()
            looked_for = words(text)
            return frozenset(uid for uid, (_, who) in self._known.items() if names(who, looked_for)), complete

    def _catch_up(self) -> bool:
        changes = self._index.changes()
        if changes == self._caught_up_at:
            return True
        until = self._clock() + _AT_MOST_S
        there = set(self._index.study_uids())
        for uid in self._known.keys() - there:
            del self._known[uid]
        for uid in there:
            touched = self._spool.touched(uid)
            if uid in self._known and self._known[uid][0] == touched:
                continue
            if self._clock() > until:
                return False
            patient = patient_of(self._spool, uid)
            self._known[uid] = (touched, searchable(patient.patient_id, patient.name))
        self._caught_up_at = changes
        return True


def routes(sources: Sources) -> list[Route]:
    """The address of the search."""
    patients = Patients(sources.spool, sources.worklist)
    return [Route("/api/search", partial(_search, sources, patients), methods=["POST"])]


async def _search(sources: Sources, patients: Patients, request: Request) -> Response:
    query = await body(request, Query)
    looks_for(request, urlencode({"patient": query.patient, "q": query.q, "tag": query.tag or ""}))
    return await run_in_threadpool(_found, sources, patients, query)


def _found(sources: Sources, patients: Patients, query: Query) -> Response:
    try:
        studies, known = patients.find(query.patient)
        search = Search(query.tag, query.q, studies)
        page = sources.worklist.page(
            query.cursor, query.limit, sources.now(), sources.waiting_cap_s, search=search
        )  # fmt: skip
        complete = known and sources.worklist.is_built()
    except BadCursorError as error:
        raise HTTPException(400, str(error)) from error
    except RedisError as error:
        return without_redis(error)
    entries = [entry(decision) for decision in page.entries]
    return JSONResponse({"entries": entries, "next_cursor": page.next_cursor, "complete": complete})
