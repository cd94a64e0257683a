"""The JSON API: the worklist in reading order, one study, and the state of the service.

An error is ``{"error": text}`` with a fitting status, never a page of HTML.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from triage.decision.records import decision_from, to_record
from triage.decision.statement import SCOPE
from triage.decision.types import Tag, TriageDecision
from triage.dicom.uid import InvalidUIDError
from triage.errors import TriageError, cause
from triage.spool.silence import silent_since
from triage.spool.usage import read_state
from triage.web.api.paging_state import paging_state
from triage.web.api.result_watch import stopped_by
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.http.problem import problem
from triage.worklist.list_filter import ListFilter
from triage.worklist.listed_study import ListedStudy
from triage.worklist.page import BadCursorError
from triage.worklist.query import ListRequest
from triage.worklist.worklist import AWAY

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 500
LONGEST_TEXT = 64
USE = "research software, not a medical device; each model's card says what its weights may be used for"


class BadRequestError(TriageError, ValueError):
    """A request is not valid; the message says how to correct it."""


def routes(sources: Sources) -> list[Route]:
    """Return the routes of the list."""
    return [
        Route("/api/read", partial(_read, sources)),
        Route("/api/worklist", partial(_page, sources)),
        Route("/api/worklist/{study_instance_uid}", partial(_study, sources)),
        Route("/api/status", partial(_status, sources)),
    ]


def entry(decision: TriageDecision) -> dict[str, object]:
    """Return a study as JSON: what its values are, and the fields of the decision, with times in ISO 8601 UTC."""
    times = {"received_at": decision.received_at, "tagged_at": decision.tagged_at}
    return {"scope": SCOPE, **to_record(decision), **{name: iso_utc(seconds) for name, seconds in times.items()}}


def listed(sources: Sources, study: ListedStudy) -> dict[str, object]:
    """Return an entry of the list: the study with the site's links to it."""
    return {**entry(study.decision), **sources.links.of_listed(study)}


def iso_utc(seconds: float) -> str:
    """Format POSIX seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The handlers are plain functions: Starlette runs each in a thread, which may wait for Redis and the disk.


def _page(sources: Sources, request: Request) -> JSONResponse:
    try:
        page = sources.query.page(_requested(request), sources.now())
    except (BadRequestError, BadCursorError) as error:
        return problem(400, str(error))
    except AWAY as error:
        return list_away(error)
    return JSONResponse(
        {
            "entries": [listed(sources, study) for study in page.studies],
            "next_cursor": page.next_cursor,
            "complete": page.complete,
        }
    )


def _read(sources: Sources, request: Request) -> JSONResponse:
    try:
        limit = _limit(request.query_params.get("limit"))
        found = sources.query.last_read(limit)
    except BadRequestError as error:
        return problem(400, str(error))
    except AWAY as error:
        return list_away(error)
    return JSONResponse({"entries": [listed(sources, study) for study in found]})


def _study(sources: Sources, request: Request) -> JSONResponse:
    # From the spool and not from the index: the file is authoritative, and is available without Redis.
    uid = request.path_params["study_instance_uid"]
    refuse_silent(sources.spool, request)
    try:
        decision = sources.spool.decision(uid)
    except InvalidUIDError as error:
        return problem(400, str(error))
    if decision is None:
        return problem(404, f"no tagged study has the Study Instance UID {uid}")
    return JSONResponse(entry(decision_from(decision)))


def _status(sources: Sources, request: Request) -> JSONResponse:
    state, since = read_state(sources.spool), silent_since(sources.spool)
    try:
        listed, complete = sources.worklist.count(), sources.worklist.is_built()
        stopped = stopped_by(state.inbox.oldest, sources.worklist.last_result_at(), sources.now())
    except AWAY:
        listed, complete, stopped = None, None, None
    return JSONResponse(
        {
            "use": USE,
            "version": sources.running.version,
            "settings_revision": sources.running.settings,
            "redis": "up" if sources.redis_answers() else "down",
            "worklist": "down" if listed is None else "up",
            "worklist_studies": listed,
            "worklist_complete": complete,
            "no_result_since": iso_utc(stopped.since) if stopped else None,
            "paging": paging_state(sources),
            "inbox_objects": state.inbox.objects,
            "oldest_untagged_received_at": iso_utc(state.inbox.oldest) if state.inbox.oldest else None,
            "dead_letters": state.dead.objects,
            "quarantined_objects": state.quarantine.objects,
            "spool_free_bytes": state.usage.free_bytes,
            "spool_used_fraction": round(state.usage.used_fraction, 4),
            "silent_since": None if since is None else iso_utc(since),
            "disabled_models": sorted(sources.spool.model_switches.disabled()),
        }
    )


def list_away(error: Exception) -> JSONResponse:
    """Return the response while the list does not answer: Redis with files, PostgreSQL with a store there."""
    if isinstance(error, OSError):
        return problem(503, f"the worklist is not available ({cause(error)}); nothing is lost: try again")
    return problem(
        503,
        f"the worklist is not available because Redis does not answer ({cause(error)}); nothing is lost, "
        "and single studies can still be requested: try again, and see that Redis runs",
    )


def _requested(request: Request) -> ListRequest:
    limit, cursor = _limit(request.query_params.get("limit")), request.query_params.get("cursor")
    text, tag = request.query_params.get("q", "").strip(), request.query_params.get("tag", "")
    if tag and tag not in set(Tag):
        raise BadRequestError(f"tag must be one of {', '.join(Tag)}")
    if len(text) > LONGEST_TEXT:
        raise BadRequestError(f"q must be no longer than {LONGEST_TEXT} characters")
    return ListRequest(limit, cursor, filter=ListFilter(frozenset({Tag(tag)} if tag else ())), number=text)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LARGEST_LIMIT):
        raise BadRequestError(f"limit must be a whole number from 1 to {LARGEST_LIMIT}")
    return int(text)
