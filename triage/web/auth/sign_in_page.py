"""Signing in and out. A form without scripts; a session begins with a cookie that no script can read."""

from __future__ import annotations

import html
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from triage.security.audit_trail import Trail
from triage.web.auth.audit import note_sign_out
from triage.web.auth.caller import LOCAL, user_of
from triage.web.auth.oidc.errors import WORDS, NotSignedInError
from triage.web.auth.oidc.pages import SignInRoutes
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.own_page import own_page
from triage.web.auth.sign_in import LocalUsers, SignIn
from triage.web.http.static import PAGE_HEADERS

logger = logging.getLogger(__name__)

_PAGE = Path(__file__).parents[1] / "page" / "sign-in.html"
_LARGEST_FORM = 4096
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # With no-referrer a browser hides where the form comes from, and SameOrigin would refuse it.
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True)
class SignInForm:
    """What somebody typed."""

    name: str = ""
    password: str = ""
    next: str = "/"


def routes(sign_in: SignIn, trail: Trail | None) -> list[Route]:
    """Who is signed in; where people have sessions of ours, the page and the way out too."""
    found = [Route("/api/session", partial(_session, sign_in))]
    if isinstance(sign_in, LocalUsers | ProvidedUsers):
        found += [
            Route("/sign-in", partial(_show, sign_in), methods=["GET"]),
            Route("/api/sign-out", partial(_sign_out, sign_in, trail), methods=["POST"]),
        ]
    if isinstance(sign_in, ProvidedUsers):
        found += SignInRoutes(sign_in).routes()
    if local := _local(sign_in):
        found.append(Route("/sign-in", partial(_sign_in, local, _PageTexts.of(sign_in)), methods=["POST"]))
    return found


def _local(sign_in: SignIn) -> LocalUsers | None:
    """Users of our own, if they may come in."""
    if isinstance(sign_in, ProvidedUsers):
        return sign_in.local
    return sign_in if isinstance(sign_in, LocalUsers) else None


@dataclass(frozen=True)
class _PageTexts:
    """What the page offers."""

    passwords: bool
    provider: bool

    @classmethod
    def of(cls, sign_in: SignIn) -> _PageTexts:
        return cls(_local(sign_in) is not None, isinstance(sign_in, ProvidedUsers))


def _session(sign_in: SignIn, request: Request) -> Response:
    user = user_of(request)
    return JSONResponse({"user": user.name, "role": user.role, "local": user is LOCAL, "sign_out": sign_in.sign_out})


async def _show(sign_in: LocalUsers | ProvidedUsers, request: Request) -> Response:
    form = SignInForm(next=own_page(request.query_params.get("next", "")))
    if await run_in_threadpool(sign_in.is_signed_in, sign_in.cookie.of(request.scope)):
        return _to(form.next)
    wrong = request.query_params.get("wrong", "")
    return _page(_PageTexts.of(sign_in), form, next((words for each, words in WORDS.items() if each == wrong), ""), 200)


async def _sign_in(sign_in: LocalUsers, look: _PageTexts, request: Request) -> Response:
    form = await _form(request)
    try:
        account = await sign_in.password(request.scope, form.name, form.password)
        # Not the session that the browser may have had: nobody else can know the token of this one.
        await run_in_threadpool(sign_in.sessions.end, sign_in.cookie.of(request.scope))
        token = await run_in_threadpool(sign_in.sessions.begin, account.name, account.stamp)
    except HTTPException as error:
        answer = _page(look, form, f"{error.detail[:1].upper()}{error.detail[1:]}.", error.status_code)
        if wait := (error.headers or {}).get("Retry-After"):
            answer.headers["Retry-After"] = wait
        return answer
    except OSError as error:
        return _page(look, form, f"You cannot be signed in ({error.strerror}): tell the administrator.", 507)
    answer = _to(form.next)
    sign_in.cookie.put(answer, token)
    return answer


async def _sign_out(sign_in: LocalUsers | ProvidedUsers, trail: Trail | None, request: Request) -> Response:
    user, token = user_of(request), sign_in.cookie.of(request.scope)
    session = await run_in_threadpool(partial(sign_in.sessions.find, token, active=False))
    await run_in_threadpool(sign_in.sessions.end, token)
    await run_in_threadpool(note_sign_out, trail, user.name, sign_in.peers.address(request.scope))
    leave = ""
    if isinstance(sign_in, ProvidedUsers) and session is not None and session.provided is not None:
        leave = await _where_to_leave(sign_in, session.provided.id_token, request)
    answer = JSONResponse({"page": sign_in.page, **({"leave": leave} if leave else {})})
    sign_in.cookie.put(answer, "", 0)
    return answer


async def _where_to_leave(sign_in: ProvidedUsers, id_token: str, request: Request) -> str:
    """Where one signs out of the identity provider, too. Our session is over in any case."""
    until = time.monotonic() + sign_in.timeout_s
    try:
        return await sign_in.errands.run(
            sign_in.peers.address(request.scope),
            lambda: sign_in.provider.where_to_leave(id_token, until),
            sign_in.timeout_s,
        )
    except NotSignedInError as error:
        logger.warning("sign-in: somebody signed out here, and not at the identity provider: %s", error)
        return ""


async def _form(request: Request) -> SignInForm:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "send the form of /sign-in; programs use HTTP Basic")
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _LARGEST_FORM:
            raise HTTPException(413, "too long")
    try:
        values = dict(parse_qsl(content.decode(), max_num_fields=8, strict_parsing=True, errors="strict"))
    except ValueError as error:
        raise HTTPException(400, "not a form") from error
    if not (values.get("name", "").strip() and values.get("password")):
        raise HTTPException(400, "name and password are both needed")
    return SignInForm(values["name"].strip(), values["password"], own_page(values.get("next", "")))


def _to(path: str) -> Response:
    # Relative to the page on which one signs in: a reverse proxy may show all of this below a path of its own.
    return RedirectResponse(f".{path}", status_code=303)


def _page(look: _PageTexts, form: SignInForm, wrong: str, status: int) -> Response:
    content = Template(_PAGE.read_text()).substitute(
        name=html.escape(form.name[:64]),
        next=html.escape(form.next),
        wrong=html.escape(wrong),
        hidden="" if wrong else "hidden",
        elsewhere="" if look.provider else "hidden",
        here="" if look.passwords else "hidden",
        begin=html.escape(f"sign-in/begin?{urlencode({'next': form.next})}"),
        elsewhere_focus="autofocus" if look.provider and not form.name else "",
        name_focus="" if form.name or look.provider else "autofocus",
        password_focus="autofocus" if form.name else "",
    )
    return Response(content, status, {**PAGE_HEADERS, **_HEADERS}, "text/html")
