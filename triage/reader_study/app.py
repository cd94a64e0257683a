"""The reader study over HTTP. A link's token is all that lets a reader in, and only to his or her own answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from triage.reader_study.answers import AnswerBook
from triage.reader_study.progress import OutOfTurnError, ReaderAnswer, ReaderProgress
from triage.reader_study.study import ReaderStudy
from triage.web.api.images import Pictures, as_answer
from triage.web.http import static
from triage.web.http.middleware import LOOPBACK, KnownHosts, SecurityHeaders
from triage.web.http.problem import gone
from triage.web.http.static import PAGE_HEADERS

_PAGE = Path(__file__).parent / "page"
_LARGEST_BODY = 4096
_A_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Desk:
    """One reader at work: the images in his or her order, and the answers."""

    reader: str
    images: tuple[Path, ...]
    book: AnswerBook


class ReaderStep(BaseModel):
    """What the page sends: the case on the screen, and the time since it last said something about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=0)
    active_ms: int = Field(ge=0, le=_A_DAY_MS * 31)
    elapsed_ms: int = Field(ge=0, le=_A_DAY_MS * 31)
    answer: ReaderAnswer | None = None

    @property
    def times(self) -> dict[str, int]:
        """As records have them; nobody is active for longer than time passes."""
        return {"active_ms": min(self.active_ms, self.elapsed_ms), "elapsed_ms": self.elapsed_ms}


def desks(study: ReaderStudy, now: Callable[[], str]) -> dict[str, Desk]:
    """A desk for each reader, by token. Raises StartError for damaged answers."""
    return {
        token: Desk(
            reader,
            tuple(study.cases[case].image for case in study.order(reader)),
            AnswerBook(study.answers(reader), len(study.cases), now),
        )
        for reader, token in study.tokens.items()
    }


def create_app(by_token: Mapping[str, Desk], pictures: Pictures, idle_seconds: float) -> Starlette:
    """The application; time without input beyond ``idle_seconds`` is not counted as reading."""
    at_desk = partial(_at_desk, by_token)
    return Starlette(
        routes=[
            Route("/", _greet),
            Route("/favicon.ico", _no_icon),
            static.files(_PAGE, static.SHARED),
            Route("/r/{token}/", at_desk(_page)),
            Route("/r/{token}/state", at_desk(partial(_state, idle_seconds))),
            Route("/r/{token}/cases/{number:int}", at_desk(partial(_image, pictures))),
            Route("/r/{token}/{kind}", at_desk(partial(_step, pictures)), methods=["POST"]),
        ],
        middleware=[Middleware(SecurityHeaders, headers=PAGE_HEADERS), Middleware(KnownHosts, hosts=LOOPBACK)],
        exception_handlers={HTTPException: _http_error, ClientDisconnect: gone, Exception: _internal_error},
    )


Handler = Callable[[Desk, Request], Awaitable[Response]]


def _at_desk(by_token: Mapping[str, Desk], handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        desk = by_token.get(request.path_params["token"])
        if desk is None:
            raise HTTPException(404, "this link is not of this study: ask for yours")
        return await handler(desk, request)

    return handle


async def _greet(request: Request) -> Response:
    return PlainTextResponse("A reader study. Open the link that was given to you; each reader has one.\n")


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)  # browsers ask, and would log an error


async def _page(desk: Desk, request: Request) -> Response:
    return static.html(_PAGE / "page.html")


async def _state(idle_seconds: float, desk: Desk, request: Request) -> Response:
    return JSONResponse(_shown(desk) | {"reader": desk.reader, "idle_seconds": idle_seconds})


async def _image(pictures: Pictures, desk: Desk, request: Request) -> Response:
    number = request.path_params["number"]
    if not desk.book.progress.may_see(number):
        raise HTTPException(403, "this case is not yet to be read")
    found = await run_in_threadpool(pictures.get, desk.images[number])
    return as_answer(found)


async def _step(pictures: Pictures, desk: Desk, request: Request) -> Response:
    kind = request.path_params["kind"]
    if kind not in ("answer", "undo", "looked"):
        raise HTTPException(404, "no such step")
    step = await _body(request)
    if (kind == "answer") != (step.answer is not None):
        raise HTTPException(400, "an answer goes with a step of that kind, and with no other")
    if step.answer is ReaderAnswer.UNREADABLE and not await _is_unreadable(pictures, desk, step.number):
        raise HTTPException(400, "this image can be shown: answer normal or abnormal")
    more = {} if step.answer is None else {"answer": str(step.answer)}
    try:
        await run_in_threadpool(desk.book.add, kind, step.number, step.times, **more)
    except OutOfTurnError as error:
        raise HTTPException(409, f"{error}: was the study continued in another window? Load this page anew") from error
    except OSError as error:
        raise HTTPException(507, f"it could not be saved ({error.strerror}): tell who runs the study") from error
    return JSONResponse(_shown(desk))


async def _is_unreadable(pictures: Pictures, desk: Desk, number: int) -> bool:
    if number >= len(desk.images):
        return False
    return isinstance(await run_in_threadpool(pictures.get, desk.images[number]), str)


async def _body(request: Request) -> ReaderStep:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _LARGEST_BODY:
            raise HTTPException(413, "too long")
    # Other pages cannot send this type here without asking first, and nobody answers them.
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        return ReaderStep.model_validate_json(content)
    except ValidationError as error:
        raise HTTPException(400, "not a step: " + "; ".join(problem["msg"] for problem in error.errors())) from error


def _shown(desk: Desk) -> dict[str, Any]:
    progress: ReaderProgress = desk.book.progress
    return {"total": progress.total, "position": progress.position}


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


def _internal_error(request: Request, error: Exception) -> Response:
    # That is outside our middleware, so the headers are put on here.
    error_text = "internal error: see the log of triage readers"
    return JSONResponse({"error": error_text}, status_code=500, headers=PAGE_HEADERS)
