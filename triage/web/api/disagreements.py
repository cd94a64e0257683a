"""Disagreements of readers with a finding, on the study's page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.adjudication import acts
from triage.adjudication.acts import CaseRefusedError, ImagesChangedError, NoCaseError, NotYourCaseError, Objection
from triage.adjudication.cases import active_disagreements
from triage.adjudication.journal import (
    LONGEST_TEXT,
    LONGEST_TITLE,
    CaseAct,
    Contradicted,
    case_acts,
    other_finding,
)
from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.api.worklist import iso_utc
from triage.web.auth.caller import user_of
from triage.web.http.request_body import read_json
from triage.worklist.reader_acts import LONGEST_REVISION, NotTaggedError, ResultChangedError, Via

CaseActOf = Callable[[str], CaseAct]
"""An act on the study of a UID."""


class Disagreement(BaseModel):
    """Body of a disagreement: ``finding`` by its name in the card, ``other`` in words, or neither for the study.

    ``revision``: of the result that the reader was shown; empty: not stated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    against: Contradicted
    label: bool
    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    finding: str = Field("", max_length=48)
    other: str = Field("", max_length=LONGEST_TITLE)
    reader: str = Field("", max_length=128)
    revision: str = Field("", max_length=LONGEST_REVISION)

    @field_validator("other", "reader")
    @classmethod
    def _one_line(cls, text: str) -> str:
        if text and not text.isprintable():
            raise ValueError("write it in one line, without control characters")
        return text

    @model_validator(mode="after")
    def _is_of_one_finding(self) -> Disagreement:
        if self.finding and self.other:
            raise ValueError("a disagreement is on one finding: give finding or other")
        if (self.against is Contradicted.READER) != bool(self.reader):
            raise ValueError("reader names the contradicted reader, and is given with against = reader alone")
        return self

    def to_objection(self, who: str, at: float, via: Via) -> Objection:
        """Return it as the statement of a reader at a time (POSIX seconds)."""
        name = other_finding(self.other) if self.other else self.finding
        return Objection(
            who, at, via, self.against, name, int(self.label), self.text, self.other, self.reader, seen=self.revision
        )


def routes(sources: Sources) -> list[Route]:
    """Return the routes of disagreements."""
    path = "/api/studies/{study_instance_uid}/disagreements"
    return [
        Route(path, partial(_disagree, sources), methods=["POST"]),
        Route(f"{path}/{{number}}/withdrawal", partial(_withdraw, sources), methods=["POST"]),
    ]


def stated(sources: Sources, study_instance_uid: str, user: str) -> list[dict[str, object]]:
    """Return the disagreements of a study that were not withdrawn, oldest first; ``own`` are those of ``user``."""
    found = active_disagreements(case_acts(sources.spool, study_instance_uid))
    return [{**described(each), "own": each.who == user} for each in found]


def described(act: CaseAct) -> dict[str, object]:
    """Return a disagreement as JSON."""
    return {
        "number": act.number,
        "at": iso_utc(act.at),
        "who": act.who,
        "against": act.against,
        "reader": act.reader,
        "finding": act.finding,
        "title": act.title,
        "label": act.label,
        "text": act.text,
        "revision": act.revision,
    }


def note_label(sources: Sources, study_instance_uid: str) -> None:
    """Have a study listed for judgement, or not, after a reader labelled it. Raises OSError."""
    if sources.spool.decision(study_instance_uid) is not None:
        with sources.spool.study_lock(study_instance_uid):
            acts.settle(sources.spool, study_instance_uid)


async def _disagree(sources: Sources, request: Request) -> Response:
    body = await read_json(request, Disagreement)
    via = Via.PAGE if request.headers.get("x-triage-page") else Via.API
    objection = body.to_objection(user_of(request).name, sources.now(), via)
    return await run_in_threadpool(_answer, sources, request, lambda uid: acts.disagree(sources.spool, uid, objection))


async def _withdraw(sources: Sources, request: Request) -> Response:
    number, who = request.path_params["number"], user_of(request).name
    if not (number.isascii() and number.isdigit() and len(number) < 7):
        raise HTTPException(404, "a disagreement has a number")
    return await run_in_threadpool(
        _answer, sources, request, lambda uid: acts.withdraw(sources.spool, uid, int(number), who, sources.now())
    )


def _answer(sources: Sources, request: Request, act: CaseActOf) -> Response:
    refuse_silent(sources.spool, request)
    uid = request.path_params["study_instance_uid"]
    return JSONResponse(described(done(uid, act)))


def done(study_instance_uid: str, act: CaseActOf) -> CaseAct:
    """Do an act on a study. Raises HTTPException for each of its errors."""
    try:
        return act(study_instance_uid)
    except (InvalidUIDError, CaseRefusedError) as error:
        raise HTTPException(400, str(error)) from error
    except NotYourCaseError as error:
        raise HTTPException(403, str(error)) from error
    except (ResultChangedError, ImagesChangedError) as error:
        raise HTTPException(409, str(error)) from error
    except (NotTaggedError, NoCaseError) as error:
        raise HTTPException(404, str(error)) from error
    except OSError as error:
        raise HTTPException(507, f"it could not be saved ({cause(error)}): tell the administrator") from error
