"""Cases to be judged by another person than those who disagree: ``/api/adjudication``.

A list has no patient. Where the site says so (adjudication.blinded), a case is shown without the result, the texts and
the way it was chosen, until it is judged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.adjudication import acts
from triage.adjudication.acts import Verdict, study_cases
from triage.adjudication.cases import AdjudicationCase
from triage.adjudication.journal import LONGEST_TEXT, LONGEST_TITLE, CaseAct, case_acts
from triage.adjudication.marks import CaseMarks
from triage.dicom.uid import InvalidUIDError
from triage.errors import cause
from triage.spool.store import Store
from triage.web.api import ties
from triage.web.api.disagreements import done
from triage.web.api.silence import refuse_silent
from triage.web.api.sources import Sources
from triage.web.api.worklist import iso_utc
from triage.web.auth.caller import user_of
from triage.web.http.request_body import read_json

logger = logging.getLogger(__name__)

_LISTED = 200
_JUDGED_LISTED = 50
_LAPSED_WITHIN_S = 30 * 86400.0


class Judgement(BaseModel):
    """Body of a judgement. ``label``: True present or abnormal, False absent or normal, None undecided.

    ``shown``: of the study as it was shown, for which images were judged; empty: not stated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    finding: str = Field("", max_length=len("other:") + 2 * LONGEST_TITLE)
    label: bool | None
    reason: str = Field(min_length=1, max_length=LONGEST_TEXT)
    shown: str = Field("", max_length=64)


def routes(sources: Sources) -> list[Route]:
    """Return the routes of cases."""
    study = "/api/adjudication/studies/{study_instance_uid}"
    return [
        Route("/api/adjudication", partial(_list, sources)),
        Route(study, partial(_study, sources)),
        Route(study, partial(_judge, sources), methods=["POST"]),
    ]


def _list(sources: Sources, request: Request) -> Response:
    marks, who = CaseMarks(sources.spool), user_of(request).name
    waiting, judged = marks.opened(), marks.judged(_JUDGED_LISTED)
    cases, faults = _read(sources.spool, (*waiting[:_LISTED], *judged))
    cases.sort(key=lambda case: (case.judgement is not None, case.since))
    of_ties = ties.listed(sources, who)
    return JSONResponse(
        {
            "blinded": sources.adjudication.blinded,
            "cases": [_listed(case, sources.adjudication.blinded, who) for case in cases],
            "further_studies": max(len(waiting) - _LISTED, 0),
            "lapsed": sum(each.at > sources.now() - _LAPSED_WITHIN_S for each in marks.lapsed()),
            "ties": of_ties.ties,
            "faults": [*faults, *of_ties.faults],
        }
    )


def _read(spool: Store, studies: Iterable[str]) -> tuple[list[AdjudicationCase], list[str]]:
    """Return the cases of studies, and what is said of those that cannot be read: they hide no others."""
    cases: list[AdjudicationCase] = []
    faults = []
    for uid in studies:
        try:
            cases += study_cases(spool, uid)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.error("the cases of study %s cannot be read: %s", uid, cause(error))
            faults.append(f"the cases of study {uid} cannot be read: see the log of the web process")
    return cases, faults


def _study(sources: Sources, request: Request) -> Response:
    refuse_silent(sources.spool, request)
    uid = request.path_params["study_instance_uid"]
    try:
        found = study_cases(sources.spool, uid)
        images = acts.counted_images(sources.spool, uid)
    except InvalidUIDError as error:
        raise HTTPException(400, str(error)) from error
    if not found:
        raise HTTPException(404, "this study has no case: was the disagreement withdrawn?")
    blinded, who = sources.adjudication.blinded, user_of(request).name
    names = [f"{sop}+{digest}" for sop, digest in images.items()]
    cases = [_whole(sources, case, blinded, who) for case in found]
    shown = acts.digest_of(images)
    return JSONResponse({"study_instance_uid": uid, "images": names, "shown": shown, "cases": cases})


async def _judge(sources: Sources, request: Request) -> Response:
    body = await read_json(request, Judgement)
    label = None if body.label is None else int(body.label)
    blinded = sources.adjudication.blinded
    verdict = Verdict(user_of(request).name, sources.now(), body.finding, label, body.reason, blinded, body.shown)
    uid = request.path_params["study_instance_uid"]
    await run_in_threadpool(refuse_silent, sources.spool, request)
    act = await run_in_threadpool(done, uid, lambda study: acts.judge(sources.spool, study, verdict))
    return JSONResponse(_judgement(act))


def _listed(case: AdjudicationCase, blinded: bool, who: str) -> dict[str, object]:
    hidden = blinded and case.judgement is None
    return {
        "study_instance_uid": case.study_instance_uid,
        "finding": case.finding,
        "title": case.title,
        "since": iso_utc(case.since),
        "kinds": [] if hidden else list(case.kinds),
        "chosen_by": None if hidden else case.chosen_by,
        "also": [] if hidden else list(case.also),
        "may_judge": case.may_judge(who),
        "judgement": _judgement(case.judgement) if case.judgement else None,
        "judged_before": case.earlier is not None,
    }


def _whole(sources: Sources, case: AdjudicationCase, blinded: bool, who: str) -> dict[str, object]:
    shown = _listed(case, blinded, who)
    if blinded and case.judgement is None:
        return shown
    every = case_acts(sources.spool, case.study_instance_uid)
    judged = [each for each in every if each.act == "judged" and each.finding == case.finding]
    return {
        **shown,
        "model_label": case.model_label,
        "statements": [
            {"who": each.who, "at": iso_utc(each.at), "label": each.label, "text": each.text, "against": each.against}
            for each in case.statements
        ],
        "judgements": [_judgement(each) for each in reversed(judged)],
    }


def _judgement(act: CaseAct) -> dict[str, object]:
    return {"who": act.who, "at": iso_utc(act.at), "label": act.label, "reason": act.text, "blinded": act.blinded}
