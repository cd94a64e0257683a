"""Server-sent events that tell pages of changes of the worklist, and of the studies that are open.

One poll of a counter serves all pages for half a second, so the cost is the same for one reader and for a
hundred, and there is none while no page is open.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from triage.web.api.presence import open_now
from triage.web.api.result_watch import ResultWatch, Stopped
from triage.web.api.sources import Sources
from triage.web.api.study_list import first_to_read
from triage.web.api.worklist import iso_utc
from triage.web.auth.away import AccessAwayError
from triage.web.auth.caller import Caller, caller_of
from triage.web.http.middleware import STREAM
from triage.worklist.index_state import FirstToRead
from triage.worklist.worklist import AWAY

_POLL_S = 0.5
_STEP_S = 0.3
"""Between two looks of a stream: what was opened is told within a second."""
_HEARTBEAT_S = 15.0
_COUNT_EVERY_S = 5.0
_CHECK_CALLER_S = 2.0
_UNBUFFERED = {"X-Accel-Buffering": "no"}
"""nginx buffers some kilobytes of a response unless this header forbids it."""


@dataclass(frozen=True)
class ListState:
    """Numbers that change with the worklist: changes so far, studies listed, and those of them that come first.

    ``stopped``: no results come although objects wait; see ``ResultWatch``.
    """

    changes: int
    listed: int
    first: FirstToRead
    stopped: Stopped | None

    def to_json(self) -> str:
        """Return the data of an event."""
        numbers = {"changes": self.changes, "listed": self.listed, "first": first_to_read(self.first)}
        return json.dumps({**numbers, "no_result_since": iso_utc(self.stopped.since) if self.stopped else None})


@dataclass(frozen=True)
class ListDown:
    """The state of the worklist while it does not answer. ``engine``: redis, or store where it is of the store."""

    engine: str = "redis"

    def to_json(self) -> str:
        """Return the data of an event."""
        return json.dumps({self.engine: "down"})


class WorklistChanges:
    """The state of the worklist, polled at most twice a second for all pages."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._results = ResultWatch(sources)
        self._polling = asyncio.Lock()
        self._polled_at = float("-inf")
        self._state: ListState | ListDown = ListDown()
        self._counted: tuple[int, float, tuple[int, FirstToRead]] | None = None
        self._open_at = float("-inf")
        self._open = json.dumps({"open": None})

    async def state(self) -> ListState | ListDown:
        """Return the state of at most half a second ago."""
        async with self._polling:
            if time.monotonic() - self._polled_at >= _POLL_S:
                self._state = await run_in_threadpool(self._poll)
                self._polled_at = time.monotonic()
            return self._state

    async def open(self) -> str:
        """Return the open studies as the data of an event, of at most a third of a second ago."""
        async with self._polling:
            if time.monotonic() - self._open_at >= _STEP_S:
                found = await run_in_threadpool(open_now, self._sources)
                self._open, self._open_at = json.dumps({"open": found}), time.monotonic()
            return self._open

    def _poll(self) -> ListState | ListDown:
        worklist = self._sources.worklist
        try:
            changes = worklist.changes()
            listed, first = self._numbers(changes)
            return ListState(changes, listed, first, self._results.stopped())
        except AWAY:
            return ListDown("store" if worklist.is_of_store else "redis")

    def _numbers(self, changes: int) -> tuple[int, FirstToRead]:
        """Return the numbers of the list; those of a table are counted when it changed, and every few seconds."""
        worklist, cap_s = self._sources.worklist, self._sources.waiting_cap_s
        kept = self._counted if worklist.is_of_store else None
        if kept is None or kept[0] != changes or time.monotonic() - kept[1] >= _COUNT_EVERY_S:
            numbers = worklist.count(), worklist.first_to_read(self._sources.now(), cap_s)
            kept = self._counted = (changes, time.monotonic(), numbers)
        return kept[2]


def route(changes: WorklistChanges) -> Route:
    """Return the route of the stream."""

    async def stream(request: Request) -> Response:
        ending: Callable[[], bool] = getattr(request.app.state, "ending", lambda: False)
        events = _events(changes, ending, caller_of(request))
        return StreamingResponse(events, media_type="text/event-stream", headers=_UNBUFFERED)

    return Route(STREAM, stream)


async def _events(changes: WorklistChanges, ending: Callable[[], bool], caller: Caller) -> AsyncIterator[str]:
    """Yield the state, then each change, and heartbeats in between.

    The stream ends with the server, with the connection, and within two seconds of the end of the caller's session.
    """
    sent: ListState | ListDown | None = None
    sent_open = ""
    sent_at = 0.0
    began = checked_at = time.monotonic()
    while not ending() and time.monotonic() - began < caller.stream_s:
        if time.monotonic() - checked_at > _CHECK_CALLER_S:
            try:
                valid = await run_in_threadpool(_still_valid, caller)
            except AccessAwayError:  # the page asks again, and hears of it
                return
            if not valid:
                yield "event: signed-out\ndata: {}\n\n"
                return
            checked_at = time.monotonic()
        opened = await changes.open()
        if opened != sent_open:
            yield f"event: presence\ndata: {opened}\n\n"
            sent_open = opened
        state = await changes.state()
        if state != sent:
            yield f"event: list\ndata: {state.to_json()}\n\n"
            sent, sent_at = state, time.monotonic()
        elif time.monotonic() - sent_at > _HEARTBEAT_S:
            yield "event: alive\ndata: {}\n\n"
            sent_at = time.monotonic()
        await asyncio.sleep(_STEP_S)


def _still_valid(caller: Caller) -> bool:
    try:
        return caller.still_valid()
    except AccessAwayError:
        raise
    except HTTPException:  # the file of users cannot be read
        return False
