"""Preferences of users for the list: ``/api/preferences``. An entry for each user in the store, without patient data.

On the server and not in the browser: readers change workstations, and several share one (docs/adr/0058).
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.errors import cause
from triage.spool.store import Store
from triage.web.api.list_models import ListPreferences
from triage.web.api.sources import Sources
from triage.web.auth.caller import user_of
from triage.web.http.request_body import read_json

FOLDER = "preferences"


def routes(sources: Sources) -> list[Route]:
    """Return the routes of the preferences."""
    address = "/api/preferences"
    return [
        Route(address, partial(_get, sources)),
        Route(address, partial(_post, sources), methods=["POST"]),
    ]


def preferences_of(spool: Store, user: str) -> ListPreferences:
    """Return a user's preferences; the default ones where there are none, or they are damaged or of a later release."""
    try:
        return ListPreferences.model_validate_json(spool.entries(FOLDER).get(_name(user)))
    except (OSError, ValidationError):
        return ListPreferences()


def keep_preferences(spool: Store, user: str, preferences: ListPreferences) -> None:
    """Write a user's preferences. Raises OSError."""
    entries = spool.entries(FOLDER)
    entries.prepare()
    entries.put(_name(user), preferences.model_dump_json(exclude_defaults=True))


def _name(user: str) -> str:
    # A user's name may hold any character, and be longer than an entry's.
    return f"{sha256(user.encode()).hexdigest()}.json"


def _get(sources: Sources, request: Request) -> Response:
    found = preferences_of(sources.spool, user_of(request).name)
    return JSONResponse({**found.model_dump(mode="json"), "patient_names": sources.patient_names})


async def _post(sources: Sources, request: Request) -> Response:
    wanted = await read_json(request, ListPreferences)
    try:
        await run_in_threadpool(keep_preferences, sources.spool, user_of(request).name, wanted)
    except OSError as error:
        raise HTTPException(507, f"the columns are not kept ({cause(error)}): tell the administrator") from error
    return JSONResponse(wanted.model_dump(mode="json"))
