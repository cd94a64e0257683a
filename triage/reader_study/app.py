"""The reader study over HTTP. The token of a link admits one reader, to his or her own answers only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from triage.errors import cause
from triage.reader_study.answers import AnswerLog
from triage.reader_study.progress import OutOfTurnError, ReaderAnswer, ReaderRecord, StepKind
from triage.reader_study.study import ReaderStudy
from triage.web.api.images import PictureCache, UndecodableImage, picture_response
from triage.web.http import static
from triage.web.http.middleware import LOOPBACK, KnownHosts, SecurityHeaders
from triage.web.http.problem import exception_handlers
from triage.web.http.request_body import read_json
from triage.web.http.static import PAGE_HEADERS

_PAGE = Path(__file__).parent / "page"
_A_DAY_MS = 86_400_000


@dataclass(frozen=True)
class ReaderSession:
    """One reader: the images in his or her order, and the answers."""

    reader: str
    images: tuple[Path, ...]
    answers: AnswerLog


class ReaderStep(BaseModel):
    """Body of a step: the case on the screen, and the times since the last step in milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=0)
    active_ms: int = Field(ge=0, le=_A_DAY_MS * 31)
    elapsed_ms: int = Field(ge=0, le=_A_DAY_MS * 31)
    answer: ReaderAnswer | None = None

    def record(self, kind: StepKind) -> ReaderRecord:
        """Return the step as a record; active time is never longer than elapsed time."""
        return ReaderRecord(kind, self.number, min(self.active_ms, self.elapsed_ms), self.elapsed_ms, self.answer)


def sessions(study: ReaderStudy, now: Callable[[], str]) -> dict[str, ReaderSession]:
    """Return the session of each reader, by token. Raises StartError for damaged answers."""
    return {
        token: ReaderSession(
            reader,
            tuple(study.cases[case].image for case in study.order(reader)),
            AnswerLog(study.answers(reader), len(study.cases), now),
        )
        for reader, token in study.tokens.items()
    }


def create_app(by_token: Mapping[str, ReaderSession], pictures: PictureCache, idle_seconds: float) -> Starlette:
    """Create the application; a pause longer than ``idle_seconds`` does not count as reading."""
    for_reader = partial(_for_reader, by_token)
    return Starlette(
        routes=[
            Route("/", _greet),
            Route("/favicon.ico", _no_icon),
            static.files(_PAGE, static.SHARED),
            Route("/r/{token}/", for_reader(_page)),
            Route("/r/{token}/state", for_reader(partial(_state, idle_seconds))),
            Route("/r/{token}/cases/{number:int}", for_reader(partial(_image, pictures))),
            Route("/r/{token}/{kind}", for_reader(partial(_step, pictures)), methods=["POST"]),
        ],
        middleware=[Middleware(SecurityHeaders, headers=PAGE_HEADERS), Middleware(KnownHosts, hosts=LOOPBACK)],
        exception_handlers=exception_handlers("triage readers", PAGE_HEADERS),
    )


Handler = Callable[[ReaderSession, Request], Awaitable[Response]]


def _for_reader(by_token: Mapping[str, ReaderSession], handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        session = by_token.get(request.path_params["token"])
        if session is None:
            raise HTTPException(404, "this link does not belong to this study: request yours from its organiser")
        return await handler(session, request)

    return handle


async def _greet(request: Request) -> Response:
    return PlainTextResponse("A reader study. Open the link that was given to you; each reader has one.\n")


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204)  # browsers request it, and would log an error


async def _page(session: ReaderSession, request: Request) -> Response:
    return static.html(_PAGE / "page.html")


async def _state(idle_seconds: float, session: ReaderSession, request: Request) -> Response:
    return JSONResponse(_shown(session) | {"reader": session.reader, "idle_seconds": idle_seconds})


async def _image(pictures: PictureCache, session: ReaderSession, request: Request) -> Response:
    number = request.path_params["number"]
    if not session.answers.progress.may_see(number):
        raise HTTPException(403, "this case is not yet to be read")
    found = await run_in_threadpool(pictures.get, session.images[number])
    return picture_response(found)


async def _step(pictures: PictureCache, session: ReaderSession, request: Request) -> Response:
    kind = _kind(request.path_params["kind"])
    step = await read_json(request, ReaderStep)
    if (kind is StepKind.ANSWER) != (step.answer is not None):
        raise HTTPException(400, "an answer belongs to a step of kind answer, and to no other")
    if step.answer is ReaderAnswer.UNREADABLE and not await _is_unreadable(pictures, session, step.number):
        raise HTTPException(400, "this image can be shown: answer normal or abnormal")
    try:
        await run_in_threadpool(session.answers.add, step.record(kind))
    except OutOfTurnError as error:
        raise HTTPException(409, f"{error}: was the study continued in another window? Load this page again") from error
    except OSError as error:
        raise HTTPException(507, f"it could not be saved ({cause(error)}): tell the organiser of the study") from error
    return JSONResponse(_shown(session))


def _kind(text: str) -> StepKind:
    try:
        return StepKind(text)
    except ValueError:
        raise HTTPException(404, "no such step") from None


async def _is_unreadable(pictures: PictureCache, session: ReaderSession, number: int) -> bool:
    if number >= len(session.images):
        return False
    return isinstance(await run_in_threadpool(pictures.get, session.images[number]), UndecodableImage)


def _shown(session: ReaderSession) -> dict[str, object]:
    progress = session.answers.progress
    return {"total": progress.total, "position": progress.position}
