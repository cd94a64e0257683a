"""The list as the page shows it: ``POST /api/list``, with patients, order, filter and search.

The query is in the body, as addresses are logged and stored.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.web.api.claims import claim_of
from triage.web.api.list_models import ListQuery
from triage.web.api.sources import Sources
from triage.web.api.worklist import iso_utc, list_away, listed
from triage.web.auth.caller import set_query
from triage.web.http.request_body import read_json
from triage.worklist.index_keys import microseconds
from triage.worklist.index_state import FirstToRead
from triage.worklist.list_order import Column, Sort
from triage.worklist.list_selection import Moment, select
from triage.worklist.listed_study import ListedStudy
from triage.worklist.page import BadCursorError
from triage.worklist.query import ListRequest
from triage.worklist.study_facts import StudyFacts
from triage.worklist.untagged import UntaggedStudy, untagged
from triage.worklist.worklist import AWAY

_READ_SHOWN = 200


def routes(sources: Sources) -> list[Route]:
    """Return the routes of the page's list."""
    return [
        Route("/api/list", partial(_list, sources), methods=["POST"]),
        Route("/api/list/choices", partial(_choices, sources)),
    ]


async def _list(sources: Sources, request: Request) -> Response:
    query = await read_json(request, ListQuery)
    if query.sort and query.sort.column is Column.PATIENT_NAME and not sources.patient_names:
        raise HTTPException(400, "this site shows no patient names (web.patient_names): the list has no order by them")
    set_query(request, _audited(query))
    shown = {"unread": _unread, "read": _read, "untagged": _untagged}[query.show]
    return await run_in_threadpool(shown, sources, query)


def _audited(query: ListQuery) -> str:
    """Return the query for the audit trail: the list names patients, so that each look at it is recorded."""
    given = query.model_dump(mode="json", include={"show", "text", "sort", "filter"}, exclude_defaults=True)
    return urlencode({"show": query.show, **given})


def _unread(sources: Sources, query: ListQuery) -> Response:
    now = sources.now()
    try:
        page = sources.query.page(_request(query), now)
    except BadCursorError as error:
        raise HTTPException(400, str(error)) from error
    except AWAY as error:
        return list_away(error)
    return JSONResponse(
        {
            "entries": [_row(sources, study, now) for study in page.studies],
            "next_cursor": page.next_cursor,
            "complete": page.complete,
            "matching": page.matching,
            "first": first_to_read(page.first),
            "outside": first_to_read(page.outside),
        }
    )


def _read(sources: Sources, query: ListQuery) -> Response:
    now = sources.now()
    try:
        studies = sources.query.last_read(_READ_SHOWN)
        first = sources.worklist.first_to_read(now, sources.waiting_cap_s)
    except AWAY as error:
        return list_away(error)
    sort = query.sort.to_sort() if query.sort else Sort(Column.ARRIVED)
    request = ListRequest(_READ_SHOWN, None, sort, query.filter.to_filter(), query.text)
    by_arrival = sorted(studies, key=attrgetter("arrival"))
    found = select(by_arrival, request, Moment.of(request, now, 0.0))
    admitted = found.studies if query.sort else [study for study in studies if study in found.studies]
    return _whole([_row(sources, study, now) for study in admitted], first)


def _untagged(sources: Sources, query: ListQuery) -> Response:
    studies, matching = untagged(sources.spool, query.limit)
    try:
        first = sources.worklist.first_to_read(sources.now(), sources.waiting_cap_s)
    except AWAY:
        first = FirstToRead()  # these studies are in the store: they are shown without Redis
    return _whole([_untagged_row(sources, each) for each in studies], first, matching)


def _whole(entries: list[dict[str, object]], first: FirstToRead, matching: int | None = None) -> Response:
    """Return a list of one page that has none of the unread studies."""
    outside = first_to_read(first)
    count = len(entries) if matching is None else matching
    more = {"next_cursor": None, "complete": True, "matching": count, "first": outside, "outside": outside}
    return JSONResponse({"entries": entries, **more})


def _request(query: ListQuery) -> ListRequest:
    sort = query.sort.to_sort() if query.sort else None
    return ListRequest(query.limit, query.cursor, sort, query.filter.to_filter(), query.text)


def _row(sources: Sources, study: ListedStudy, now: float) -> dict[str, object]:
    cutoff = microseconds(now - sources.waiting_cap_s) if sources.waiting_cap_s else 0
    late = {"past_cap": study.is_past_cap(cutoff)}
    claim = claim_of(sources, study.decision.study_instance_uid)
    return {**listed(sources, study), **late, **_facts(study.facts, sources.patient_names), **claim}


def _untagged_row(sources: Sources, study: UntaggedStudy) -> dict[str, object]:
    nothing = dict.fromkeys(("tag", "priority", "probability"))
    known = {
        "study_instance_uid": study.study_instance_uid,
        "received_at": iso_utc(study.received_at),
        "accession_number": study.accession_number,
        "calling_ae_title": "",
    }
    empty = {"urgency": "", "findings": [], "past_cap": False, "reasons": []}
    return {**nothing, **empty, **known, **_facts(study.facts, sources.patient_names)}


def _facts(facts: StudyFacts, names: bool) -> dict[str, object]:
    return {
        "patient_name": facts.patient_name if names else "",
        "patient_id": facts.patient_id,
        "birth_date": facts.birth_date,
        "sex": facts.sex,
        "age_years": facts.age_years,
        "study_description": facts.study_description,
        "view": facts.view,
        "acquired_at": None if facts.acquired_at is None else iso_utc(facts.acquired_at),
        "location": facts.location,
        "referrer": facts.referrer if names else "",
    }


def first_to_read(numbers: FirstToRead) -> dict[str, int]:
    """Return numbers of studies as JSON."""
    return {"high": numbers.high, "past_cap": numbers.past_cap}


def _choices(sources: Sources, request: Request) -> Response:
    try:
        found = sources.query.choices()
    except AWAY as error:
        return list_away(error)
    return JSONResponse({"senders": found.senders, "views": found.views})
