"""UPS-RS (PS3.18 section 11): search, retrieve, update, change state and request cancellation.

Clients cannot create workitems, and there are no subscriptions.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from pydicom.dataset import Dataset
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.dicom.attribute_text import text_of
from triage.dicom.elements import SEQUENCES, in_dictionary
from triage.errors import cause
from triage.web.api.claims import tell
from triage.web.api.sources import Sources
from triage.web.api.ups_rs_search import WorkitemQuery, search
from triage.web.api.worklist import BadRequestError, list_away
from triage.web.auth.caller import LOCAL, caller_of, set_study, user_of
from triage.web.http.problem import problem
from triage.web.http.request_body import MediaType, read_body
from triage.worklist import workitem_content, workitem_state
from triage.worklist.claims import Person, note_claim
from triage.worklist.reader_acts import NotTaggedError, ReadNotice, Via, record_notice
from triage.worklist.workitem_performer import performer
from triage.worklist.workitem_state import RefusedError, WorkitemState
from triage.worklist.workitem_store import UnreadWorkitemError, Workitems

JsonObject = dict[str, object]
Endpoint = Callable[[Request], Awaitable[Response]]

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/dicom+json"
_LATER = {"Retry-After": "60"}
_DATA_SET = MediaType(MEDIA_TYPE, 1 << 20)


def routes(sources: Sources, workitems: Workitems) -> list[Route]:
    """Return the routes of the service."""
    one = "/workitems/{workitem}"
    return [
        Route("/workitems", partial(_search, sources, workitems)),
        Route(one, partial(_retrieve, workitems), methods=["GET"]),
        Route(one, _with_data_set(partial(_update, sources, workitems)), methods=["POST"]),
        Route(f"{one}/state", _with_data_set(partial(_change, sources, workitems)), methods=["PUT"]),
        Route(
            f"{one}/cancelrequest", _with_data_set(partial(_cancel, sources, workitems), empty=True), methods=["POST"]
        ),
        Route(f"{one}/subscribers/{{subscriber:path}}", _refuse_subscription, methods=["POST", "DELETE"]),
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
    except OSError as error:
        return list_away(error)
    headers = {"Warning": ", ".join(_warning(each) for each in warnings)} if warnings else {}
    return _response(found, headers) if found else Response(status_code=204, headers=headers)


def _retrieve(workitems: Workitems, request: Request) -> Response:
    if not _accepts(request):
        return _not_acceptable()
    try:
        found = workitems.get(_workitem(workitems, request))
    except UnreadWorkitemError as error:
        return problem(503, str(error), _LATER)
    except OSError as error:
        return problem(503, f"the workitem cannot be read ({cause(error)}): ask again", _LATER)
    return _unknown() if found is None else _response([found], {})


def _update(sources: Sources, workitems: Workitems, request: Request, content: JsonObject) -> Response:
    given = Dataset.from_json(content)
    if not workitem_content.conforms(given):
        return _refusal(400, "The submitted request is inconsistent with the current state of the Workitem.")
    transaction_uid = text_of(given, "TransactionUID") or _transaction_uid(request)
    taken = Dataset()
    for keyword in workitem_content.UPDATED:
        if keyword in given:
            taken[keyword] = given[keyword]
    attributes = taken.to_json_dict()
    done = workitems.change(
        _workitem(workitems, request),
        lambda state, raised: workitem_state.update(state, attributes, transaction_uid, sources.now()),
    )
    return _unknown() if done is None else Response(headers=_update_warning(given, attributes, done[1]))


_IDENTIFYING = ("TransactionUID", "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID")


def _update_warning(given: Dataset, wanted: JsonObject, after: WorkitemState) -> dict[str, str]:
    """Return the Warning of an update that was not done as requested (PS3.18 11.6.3.2)."""
    keywords = {element.keyword for element in given}
    coerced = any(after.attributes[tag] != value for tag, value in wanted.items())
    if coerced or keywords & set(workitem_content.KEPT):
        return {"Warning": _warning("The Workitem was updated with modifications.")}
    if keywords - {*workitem_content.UPDATED, *_IDENTIFYING}:
        return {"Warning": _warning("Requested optional Attributes are not supported.")}
    return {}


def _change(sources: Sources, workitems: Workitems, request: Request, content: JsonObject) -> Response:
    given = Dataset.from_json(content)
    wanted, transaction_uid = text_of(given, "ProcedureStepState"), text_of(given, "TransactionUID")
    workitem = _workitem(workitems, request)

    def step(state: WorkitemState, raised: int) -> WorkitemState:
        after = workitem_state.change(state, wanted, transaction_uid, sources.now(), raised)
        if after.state == workitem_state.IN_PROGRESS and (found := workitems.find(workitem)):
            system = Person(_system(request), sources.now())
            note_claim(sources.spool, found[0], workitem, transaction_uid, system)
        return after

    done = workitems.change(workitem, step)
    if done is None:
        return _unknown()
    _tell(sources, workitems, workitem)
    if done[1].state == workitem_state.COMPLETED:
        _mark_read(sources, workitems, request, done[1])
    return Response(headers=_unchanged_warning(*done))


def _system(request: Request) -> str:
    """Return what is known of a client: the user that it signs in as, else its address."""
    caller = caller_of(request)
    return caller.address if caller.user is LOCAL else caller.user.name


def _tell(sources: Sources, workitems: Workitems, workitem: str) -> None:
    if found := workitems.find(workitem):
        tell(sources, found[0])


def _mark_read(sources: Sources, workitems: Workitems, request: Request, state: WorkitemState) -> None:
    """Take the study of a completed workitem off the list. A repeated request repeats this."""
    uid = request.path_params["workitem"]
    entry = workitems.find(uid)
    if entry is None:  # does not happen: the workitem was changed just now
        return
    # The sender of a workitem can write any performer into it; a signed-in user is known.
    user = user_of(request)
    who = performer(Dataset.from_json(state.attributes)) if user == LOCAL else user.name
    try:
        act = ReadNotice(state.changed_at, who or user.name, Via.UPS, uid, signed_in=True)
        record_notice(sources.spool, sources.worklist, entry[0], act)
    except NotTaggedError:  # retention removed it meanwhile
        return
    except RedisError:
        logger.warning("study %s was completed as a workitem, and the list is not updated: Redis is away", entry[0])


def _cancel(sources: Sources, workitems: Workitems, request: Request, content: JsonObject) -> Response:
    given = Dataset.from_json(content)
    done = workitems.change(
        _workitem(workitems, request),
        lambda state, raised: workitem_state.cancel(state, given, sources.now(), raised),
    )
    if done is None:
        return _unknown()
    _tell(sources, workitems, request.path_params["workitem"])
    return Response(status_code=202, headers=_unchanged_warning(*done))


def _workitem(workitems: Workitems, request: Request) -> str:
    """Return the UID of the requested workitem, and name its study for the audit trail."""
    uid: str = request.path_params["workitem"]
    if entry := workitems.find(uid):
        set_study(request, entry[0])
    return uid


def _refuse_subscription(request: Request) -> Response:
    """Refuse a subscription: there is no channel for event reports (PS3.4 CC.2.3.3: C315)."""
    return _refusal(403, "The origin server does not support event reports.")


def _unchanged_warning(before: WorkitemState, after: WorkitemState) -> dict[str, str]:
    if before is not after:
        return {}
    return {"Warning": _warning(f"The UPS is already in the requested state of {after.state}.")}


def _with_data_set(handle: Callable[[Request, JsonObject], Response], *, empty: bool = False) -> Endpoint:
    """Return an endpoint that reads a data set, in a media type that no page of another origin can send."""

    async def endpoint(request: Request) -> Response:
        body = await read_body(request, _DATA_SET)
        try:
            content = parse_data_set(body, empty)
            return await run_in_threadpool(handle, request, content)
        except RefusedError as refusal:
            return _refusal(refusal.status, refusal.warning)
        except BadRequestError as error:
            return problem(400, str(error))

    return endpoint


def parse_data_set(body: bytes, empty: bool) -> JsonObject:
    """Parse one data set of DICOM JSON, alone or in an array. Raises BadRequestError."""
    if empty and not body.strip():
        return {}
    try:
        content = json.loads(body)
        (found,) = content if isinstance(content, list) else [content]
        given = Dataset.from_json(found)
        _check_sequences(given)
        return dict(given.to_json_dict())
    except Exception as error:  # any input of a client; pydicom raises many kinds
        raise BadRequestError("the body is not one data set in the DICOM JSON model (PS3.18 annex F)") from error


def _check_sequences(given: Dataset) -> None:
    """Raise ValueError for a sequence sent with another VR, or another attribute sent as one (PS3.6)."""
    for element in given:
        if (element.VR == "SQ") != (element.tag in SEQUENCES) and in_dictionary(element.tag):
            raise ValueError("a sequence in the wrong value representation")
        for item in element.value if element.VR == "SQ" else []:
            _check_sequences(item)


def _transaction_uid(request: Request) -> str:
    """Return the Transaction UID of an update: ?transaction-uid=1.2 or ?1.2."""
    given = request.query_params.get("transaction-uid") or request.query_params.get("TransactionUID")
    return given or request.url.query.partition("=")[0]


def _accepts(request: Request) -> bool:
    accepted = request.headers.get("accept", "*/*")
    names = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    return bool(names & {MEDIA_TYPE, "application/json", "application/*", "*/*"})


def _response(found: list[Dataset], headers: dict[str, str]) -> Response:
    content = [each.to_json_dict(suppress_invalid_tags=True) for each in found]
    return JSONResponse(content, media_type=MEDIA_TYPE, headers=headers)


def _warning(text: str) -> str:
    return f"299 cxr-triage: {text}"


def _refusal(status: int, text: str) -> Response:
    return problem(status, text, {"Warning": _warning(text)})


def _unknown() -> Response:
    return problem(404, "no workitem has this UID")


def _not_acceptable() -> Response:
    return problem(406, f"only {MEDIA_TYPE} is available")
