"""Preferences of users for the list: ``/api/preferences``. A file for each user in the spool, without patient data.

On the server and not in the browser: readers change workstations, and several share one (docs/adr/0058).
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.errors import cause
from triage.spool.spool import Spool
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


def preferences_of(spool: Spool, user: str) -> ListPreferences:
    """Return a user's preferences; the default ones where there are none, or they are damaged or of a later release."""
    try:
        return ListPreferences.model_validate_json(_file(spool, user).read_bytes())
    except (OSError, ValidationError):
        return ListPreferences()


def keep_preferences(spool: Spool, user: str, preferences: ListPreferences) -> None:
    """Write a user's preferences. Raises OSError."""
    file = _file(spool, user)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    spool.write(file, preferences.model_dump_json(exclude_defaults=True))


def _file(spool: Spool, user: str) -> Path:
    # A name may hold any character, and be longer than a file's.
    return spool.root / FOLDER / f"{sha256(user.encode()).hexdigest()}.json"


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
