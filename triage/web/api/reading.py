"""Readings: a study is marked as read, put back on the list, or the one act of a press is taken back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.spool.clock import time_of
from triage.web.api import claims, contacts
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.api.study import step_of
from triage.web.auth.caller import user_of
from triage.web.http.problem import problem
from triage.web.http.request_body import read_json
from triage.worklist import reader_acts
from triage.worklist.claims import Person
from triage.worklist.reader_act import Act, Marking, ReaderAct, Via, leaving_act, readers_of
from triage.worklist.reader_acts import LONGEST_REVISION, NoSuchActError, NotTaggedError, ResultChangedError

_PRESS = r"^[0-9A-Za-z-]{16,64}$"


class ReadingState(BaseModel):
    """Body of a request that marks a study as read or unread.

    ``press``: identity of this act, so that a repeated request is one. ``revision``: what the reader was shown.
    ``undoes``: the press of the reading that is taken back, and no other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    read: bool
    press: str = Field("", pattern=_PRESS)
    revision: str = Field("", max_length=LONGEST_REVISION)
    undoes: str = Field("", pattern=_PRESS)


def routes(sources: Sources) -> list[Route]:
    """Return the route of readings, and of what is said of a study now."""
    study = "/api/studies/{study_instance_uid}"
    return [
        Route(f"{study}/reading", partial(_mark_read, sources), methods=["POST"]),
        Route(f"{study}/standing", partial(_standing, sources)),
    ]


def _standing(sources: Sources, request: Request) -> Response:
    """Return what an open page must know that changes without it: no word of the result, and none of the patient."""
    refuse_silent(sources.spool, request)
    try:
        uid = request.path_params["study_instance_uid"]
        return JSONResponse({**Standing.of(sources, uid).to_json(), **claims.claim_of(sources, uid)})
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error


async def _mark_read(sources: Sources, request: Request) -> Response:
    wanted = await read_json(request, ReadingState)
    if wanted.undoes and wanted.read:
        raise HTTPException(400, "undoes: with read false alone")
    return await run_in_threadpool(_act, sources, request, wanted)


def _act(sources: Sources, request: Request, wanted: ReadingState) -> Response:
    refuse_silent(sources.spool, request)
    uid = request.path_params["study_instance_uid"]
    try:
        return JSONResponse(_done(sources, uid, _marking(sources, request, wanted), undo=bool(wanted.undoes)))
    except ResultChangedError as error:
        return problem(409, str(error))
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error
    except (NotTaggedError, NoSuchActError) as error:
        raise HTTPException(404, str(error)) from error
    except RedisError as error:
        raise HTTPException(503, "it is saved, but the list is not updated: Redis does not answer") from error
    except OSError as error:
        raise HTTPException(507, f"it could not be saved ({cause(error)}): tell the administrator") from error


def _marking(sources: Sources, request: Request, wanted: ReadingState) -> Marking:
    via = Via.PAGE if request.headers.get("x-triage-page") else Via.API
    act = Act.READ if wanted.read else Act.UNREAD
    source = wanted.undoes or wanted.press
    at = time_of(sources.spool, sources.now)
    return Marking(act, at, user_of(request).name, via, source=source, seen=wanted.revision)


def _done(sources: Sources, uid: str, marking: Marking, *, undo: bool) -> dict[str, object]:
    """Record the act, and return it with the readings of the present result that hold now."""
    record = reader_acts.undo if undo else reader_acts.mark
    act = record(sources.spool, sources.worklist, uid, marking)
    standing = Standing.of(sources, uid)
    if act.act is Act.READ:
        claims.note_read(sources, uid, Person(marking.who, marking.at))
    elif standing.read is None:
        contacts.note_put_back(sources, uid)
        claims.note_listed(sources, uid)
    return {**step_of(act), "press": marking.source, **standing.to_json()}


@dataclass(frozen=True)
class Standing:
    """The present word on a study: ``revision`` of its result, and the readings of it that hold.

    ``read``: the act by which this result left the list; None while it is listed.
    """

    revision: str
    readings: tuple[ReaderAct, ...]
    read: ReaderAct | None

    @classmethod
    def of(cls, sources: Sources, study_instance_uid: str) -> Standing:
        """Read it. Raises InvalidUIDError, OSError."""
        decision = sources.spool.decision(study_instance_uid) or {}
        revision = str(decision.get("revision", ""))
        acts = reader_acts.acts_of(sources.spool, study_instance_uid)
        last = leaving_act(acts)
        left = last if last and last.revision == revision else None
        return cls(revision, tuple(readers_of(acts, revision)), left)

    def to_json(self) -> dict[str, object]:
        """Return it as fields of a response."""
        readings = [step_of(each) for each in self.readings]
        return {"revision": self.revision, "readings": readings, "read": self.read and step_of(self.read)}
