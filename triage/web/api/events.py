"""Tells pages that the worklist has changed, by server-sent events.

One look at a counter in Redis serves all pages within half a second, so that watching costs the same with one reader
and with a hundred, and nothing while nobody watches.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from triage.web.auth.caller import Caller, caller_of
from triage.web.http.middleware import STREAM
from triage.worklist.index import Worklist

_LOOK_S = 0.5
_HEARTBEAT_S = 15.0
_WHO_S = 2.0
_PASSED_ON = {"X-Accel-Buffering": "no"}
"""nginx keeps an answer back until it has some kilobytes of it, unless it is told not to."""


class Changes:
    """The state that pages watch: (changes, studies listed), None while Redis is away."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist = worklist
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._state: tuple[int, int] | None = None

    async def state(self) -> tuple[int, int] | None:
        """What the last look saw, at most half a second ago."""
        async with self._looking:
            if time.monotonic() - self._looked_at >= _LOOK_S:
                self._state = await run_in_threadpool(self._look)
                self._looked_at = time.monotonic()
            return self._state

    def _look(self) -> tuple[int, int] | None:
        try:
            return self._worklist.changes(), self._worklist.count()
        except RedisError:
            return None


def route(changes: Changes) -> Route:
    """The stream's address."""

    async def stream(request: Request) -> Response:
        ending: Callable[[], bool] = getattr(request.app.state, "ending", lambda: False)
        events = _events(changes, ending, caller_of(request))
        return StreamingResponse(events, media_type="text/event-stream", headers=_PASSED_ON)

    return Route(STREAM, stream)


async def _events(changes: Changes, ending: Callable[[], bool], caller: Caller) -> AsyncIterator[str]:
    """An event at once and after each change; in between a sign of life. Ends with the server, the reader, or the
    reader's session, within two seconds of it.
    """
    said: tuple[int, int] | str | None = "nothing yet"
    said_at = 0.0
    began = asked_at = time.monotonic()
    while not ending() and time.monotonic() - began < caller.stream_s:
        if time.monotonic() - asked_at > _WHO_S:
            if not await run_in_threadpool(_may_go_on, caller):
                yield "event: signed-out\ndata: {}\n\n"
                return
            asked_at = time.monotonic()
        state = await changes.state()
        if state != said:
            yield f"event: list\ndata: {_data(state)}\n\n"
            said, said_at = state, time.monotonic()
        elif time.monotonic() - said_at > _HEARTBEAT_S:
            yield "event: alive\ndata: {}\n\n"
            said_at = time.monotonic()
        await asyncio.sleep(_LOOK_S)


def _may_go_on(caller: Caller) -> bool:
    try:
        return caller.still()
    except HTTPException:  # it cannot be known
        return False


def _data(state: tuple[int, int] | None) -> str:
    return json.dumps({"redis": "down"} if state is None else {"changes": state[0], "listed": state[1]})
