"""Ties of reader studies, for the page of cases. They are named by a digest, and have no patient."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.adjudication.acts import NoCaseError, NotYourCaseError
from triage.adjudication.journal import LONGEST_TEXT
from triage.adjudication.ties import TieCase, TieJudgement, TiesError, judge_tie, ties_of
from triage.errors import cause
from triage.web.api.images import picture_response
from triage.web.api.sources import Sources
from triage.web.api.worklist import iso_utc
from triage.web.auth.caller import set_study, user_of
from triage.web.http.request_body import read_json

logger = logging.getLogger(__name__)


class TieVerdict(BaseModel):
    """Body of a judgement. ``label``: True abnormal, False normal, None undecided."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    label: bool | None
    reason: str = Field(min_length=1, max_length=LONGEST_TEXT)


@dataclass(frozen=True)
class ListedTies:
    """Ties as JSON, and what is said of reader studies that cannot be read."""

    ties: list[dict[str, object]]
    faults: list[str]


def routes(sources: Sources) -> list[Route]:
    """Return the routes of ties."""
    case = "/api/adjudication/ties/{study}/{case}"
    return [
        Route(case, partial(_case, sources)),
        Route(f"{case}/image", partial(_image, sources)),
        Route(case, partial(_judge, sources), methods=["POST"]),
    ]


def listed(sources: Sources, who: str) -> ListedTies:
    """Return the ties of all reader studies: one that cannot be read hides no other."""
    found: list[dict[str, object]] = []
    faults: list[str] = []
    for number, study in enumerate(sources.adjudication.reader_studies):
        try:
            found += [_shown(sources, number, case, who) for case in ties_of(study)]
        except (TiesError, OSError, ValueError, TypeError) as error:
            logger.error("the ties of the reader study %s cannot be read: %s", study, cause(error))
            faults.append(f"the ties of the reader study {study.name} cannot be read: see the log of the web process")
    return ListedTies(found, faults)


def _shown(sources: Sources, number: int, case: TieCase, who: str) -> dict[str, object]:
    hidden = sources.adjudication.blinded and case.judgement is None
    judged = case.judgement
    return {
        "study": str(number),
        "reader_study": case.study.name,
        "case": case.key,
        "why": case.why,
        "answers": {} if hidden else dict(case.answers),
        "may_judge": case.may_judge(who),
        "judgement": None
        if judged is None
        else {"who": judged.who, "at": iso_utc(judged.at), "label": judged.label, "reason": judged.text},
    }


def _case(sources: Sources, request: Request) -> Response:
    number, case = _found(sources, request)
    return JSONResponse(_shown(sources, number, case, user_of(request).name))


async def _image(sources: Sources, request: Request) -> Response:
    _, case = await run_in_threadpool(_found, sources, request)
    return picture_response(await run_in_threadpool(sources.pictures.get, case.image))


async def _judge(sources: Sources, request: Request) -> Response:
    body = await read_json(request, TieVerdict)
    return await run_in_threadpool(_judged, sources, request, body)


def _judged(sources: Sources, request: Request, body: TieVerdict) -> Response:
    number, case = _found(sources, request)
    set_study(request, f"urn:cxr-triage:reader-study:{case.study.name}:{case.key}")  # it is written to the trail here
    label = None if body.label is None else int(body.label)
    who = user_of(request).name
    verdict = TieJudgement(str(case.image), label, who, sources.now(), body.reason)
    try:
        done = judge_tie(case.study, case.key, verdict)
    except NotYourCaseError as error:
        raise HTTPException(403, str(error)) from error
    except NoCaseError as error:
        raise HTTPException(404, str(error)) from error
    except OSError as error:
        raise HTTPException(507, f"it could not be saved ({cause(error)}): tell the administrator") from error
    return JSONResponse(_shown(sources, number, replace(case, judgement=done), who))


def _found(sources: Sources, request: Request) -> tuple[int, TieCase]:
    """Return the case that the address names, by the study's place in the settings. Raises HTTPException."""
    study, key = request.path_params["study"], request.path_params["case"]
    folders: dict[str, Path] = {str(n): folder for n, folder in enumerate(sources.adjudication.reader_studies)}
    if study in folders:
        try:
            found = next((each for each in ties_of(folders[study]) if each.key == key), None)
        except (TiesError, OSError) as error:
            raise HTTPException(503, "the ties of this reader study cannot be read: see the log") from error
        if found is not None:
            return int(study), found
    raise HTTPException(404, "there is no such tie")
