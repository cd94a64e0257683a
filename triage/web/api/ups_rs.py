"""UPS-RS (PS3.18 section 11): search, retrieve, update, change state, request cancellation. Workitems are not created
here and there are no subscriptions.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from pydicom.dataset import Dataset
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.dicom.elements import SEQUENCES, in_dictionary
from triage.web.api.sources import Sources
from triage.web.api.ups_rs_search import WorkitemQuery, search
from triage.web.api.worklist import BadRequestError
from triage.web.auth.caller import LOCAL, concerns, user_of
from triage.web.http.problem import problem
from triage.worklist import workitem_content, workitem_state
from triage.worklist.reader_acts import NotTaggedError, ReadNotice, Via, record_notice
from triage.worklist.workitem_performer import performer
from triage.worklist.workitem_state import RefusedError, WorkitemState
from triage.worklist.workitem_store import Workitems

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/dicom+json"
_LARGEST_BODY = 1 << 20


def routes(sources: Sources, workitems: Workitems) -> list[Route]:
    """The addresses of the service."""
    one = "/workitems/{workitem}"
    return [
        Route("/workitems", partial(_search, sources, workitems)),
        Route(one, partial(_retrieve, workitems), methods=["GET"]),
        Route(one, _writing(partial(_update, sources, workitems)), methods=["POST"]),
        Route(f"{one}/state", _writing(partial(_change, sources, workitems)), methods=["PUT"]),
        Route(f"{one}/cancelrequest", _writing(partial(_cancel, sources, workitems), empty=True), methods=["POST"]),
        Route(f"{one}/subscribers/{{subscriber:path}}", _no_events, methods=["POST", "DELETE"]),
    ]


def _search(sources: Sources, workitems: Workitems, request: Request) -> Response:
    if not _accepts(request):
        return _not_acceptable()
    try:
        query = WorkitemQuery.of(request.query_params.multi_items())
        found, warnings = search(sources, workitems, query)
    except BadRequestError as error:
        return problem(400, str(error))
    except RedisError:
        return problem(503, "the worklist is not available because Redis does not answer: try again")
    headers = {"Warning": ", ".join(_warning(each) for each in warnings)} if warnings else {}
    return _answer(found, headers) if found else Response(status_code=204, headers=headers)


def _retrieve(workitems: Workitems, request: Request) -> Response:
    if not _accepts(request):
        return _not_acceptable()
    found = workitems.get(_asked(workitems, request))
    return _unknown() if found is None else _answer([found], {})


def _update(sources: Sources, workitems: Workitems, request: Request, content: dict[str, Any]) -> Response:
    given = Dataset.from_json(content)
    if not workitem_content.conforms(given):
        return _refusal(400, "The submitted request is inconsistent with the current state of the Workitem.")
    transaction_uid = str(given.get("TransactionUID") or "") or _in_the_address(request)
    taken = Dataset()
    for keyword in workitem_content.UPDATED:
        if keyword in given:
            taken[keyword] = given[keyword]
    attributes = taken.to_json_dict()
    done = workitems.change(
        _asked(workitems, request),
        lambda state, raised: workitem_state.update(state, attributes, transaction_uid, sources.now()),
    )
    return _unknown() if done is None else Response(headers=_left(given, attributes, done[1]))


_BESIDE = ("TransactionUID", "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID")


def _left(given: Dataset, wanted: dict[str, Any], after: WorkitemState) -> dict[str, str]:
    """The Warning where not all was done as asked (PS3.18 11.6.3.2)."""
    keywords = {element.keyword for element in given}
    coerced = any(after.attributes[tag] != value for tag, value in wanted.items())
    if coerced or keywords & set(workitem_content.KEPT):
        return {"Warning": _warning("The Workitem was updated with modifications.")}
    if keywords - {*workitem_content.UPDATED, *_BESIDE}:
        return {"Warning": _warning("Requested optional Attributes are not supported.")}
    return {}


def _change(sources: Sources, workitems: Workitems, request: Request, content: dict[str, Any]) -> Response:
    given = Dataset.from_json(content)
    wanted, transaction_uid = str(given.get("ProcedureStepState") or ""), str(given.get("TransactionUID") or "")
    done = workitems.change(
        _asked(workitems, request),
        lambda state, raised: workitem_state.change(state, wanted, transaction_uid, sources.now(), raised),
    )
    if done is None:
        return _unknown()
    if done[1].state == workitem_state.COMPLETED:
        _has_been_read(sources, workitems, request, done[1])
    return Response(headers=_already(*done))


def _has_been_read(sources: Sources, workitems: Workitems, request: Request, state: WorkitemState) -> None:
    """The workitem is completed, durably: its study leaves the list. Asked again, this is done again."""
    uid = request.path_params["workitem"]
    place = workitems.find(uid)
    if place is None:  # it is there: we have just changed it
        return
    # Whom the workitem names as its performer, its sender can write there; who signed in is known.
    user = user_of(request)
    who = performer(Dataset.from_json(state.attributes)) if user == LOCAL else user.name
    try:
        said = ReadNotice(state.changed_at, who or user.name, Via.UPS, uid, signed_in=True)
        record_notice(sources.spool, sources.worklist, place[0], said)
    except NotTaggedError:  # retention removed it meanwhile
        return
    except RedisError:
        logger.warning("study %s was completed as a workitem, and the list did not follow: Redis is away", place[0])


def _cancel(sources: Sources, workitems: Workitems, request: Request, content: dict[str, Any]) -> Response:
    given = Dataset.from_json(content)
    done = workitems.change(
        _asked(workitems, request),
        lambda state, raised: workitem_state.cancel(state, given, sources.now(), raised),
    )
    return _unknown() if done is None else Response(status_code=202, headers=_already(*done))


def _asked(workitems: Workitems, request: Request) -> str:
    """The UID of the workitem that is asked for; its study is what the audit trail is told."""
    uid: str = request.path_params["workitem"]
    if place := workitems.find(uid):
        concerns(request, place[0])
    return uid


def _no_events(request: Request) -> Response:
    """Subscribing is refused: there is no channel for event reports (PS3.4 CC.2.3.3: C315)."""
    return _refusal(403, "The origin server does not support event reports.")


def _already(before: WorkitemState, after: WorkitemState) -> dict[str, str]:
    if before is not after:
        return {}
    return {"Warning": _warning(f"The UPS is already in the requested state of {after.state}.")}


def _writing(handle: Callable[[Request, dict[str, Any]], Response], *, empty: bool = False) -> Any:
    """A handler of a request with a data set; its media type is one that no page of another origin can send."""

    async def write(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != MEDIA_TYPE:
            return problem(415, f"send {MEDIA_TYPE}")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                return problem(413, "a data set of more than 1 MiB is not taken")
        try:
            content = _data_set(body, empty)
            return await run_in_threadpool(handle, request, content)
        except RefusedError as refusal:
            return _refusal(refusal.status, refusal.warning)
        except BadRequestError as error:
            return problem(400, str(error))

    return write


def _data_set(body: bytes, empty: bool) -> dict[str, Any]:
    """One data set of DICOM JSON, alone or in an array of one, that pydicom can read and write again."""
    if empty and not body.strip():
        return {}
    try:
        content = json.loads(body)
        (found,) = content if isinstance(content, list) else [content]
        given = Dataset.from_json(found)
        _check_sequences(given)
        return dict(given.to_json_dict())
    except Exception as error:  # the edge: whatever a client sends; pydicom raises many kinds
        raise BadRequestError("the body is not one data set in the DICOM JSON model (PS3.18 annex F)") from error


def _check_sequences(given: Dataset) -> None:
    """Raise ValueError for a sequence that is sent as something else, or something else as a sequence (PS3.6)."""
    for element in given:
        if (element.VR == "SQ") != (element.tag in SEQUENCES) and in_dictionary(element.tag):
            raise ValueError("a sequence in the wrong value representation")
        for item in element.value if element.VR == "SQ" else []:
            _check_sequences(item)


def _in_the_address(request: Request) -> str:
    """The Transaction UID of an update: ?transaction-uid=1.2 or ?1.2."""
    given = request.query_params.get("transaction-uid") or request.query_params.get("TransactionUID")
    return given or request.url.query.partition("=")[0]


def _accepts(request: Request) -> bool:
    accepted = request.headers.get("accept", "*/*")
    names = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    return bool(names & {MEDIA_TYPE, "application/json", "application/*", "*/*"})


def _answer(found: list[Dataset], headers: dict[str, str]) -> Response:
    content = [each.to_json_dict(suppress_invalid_tags=True) for each in found]
    return JSONResponse(content, media_type=MEDIA_TYPE, headers=headers)


def _warning(text: str) -> str:
    return f"299 cxr-triage: {text}"


def _refusal(status: int, text: str) -> Response:
    answer = problem(status, text)
    answer.headers["Warning"] = _warning(text)
    return answer


def _unknown() -> Response:
    return problem(404, "no workitem has this UID")


def _not_acceptable() -> Response:
    return problem(406, f"there is {MEDIA_TYPE} only")
