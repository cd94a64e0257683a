"""Signing in and out. A form without scripts; a session begins with a cookie that no script can read."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from triage.security.audit_trail import Trail
from triage.web.auth.audit import note_sign_out
from triage.web.auth.caller import LOCAL, user_of
from triage.web.auth.sign_in import LocalUsers, SignIn
from triage.web.http.static import PAGE_HEADERS

_PAGE = Path(__file__).parents[1] / "page" / "sign-in.html"
_NEXT = re.compile(r"/|/operations|/studies/[0-9.]{1,64}")
_LARGEST_FORM = 4096
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # With no-referrer a browser hides where the form comes from, and SameOrigin would refuse it.
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True)
class Form:
    """What somebody typed."""

    name: str = ""
    password: str = ""
    next: str = "/"


def routes(sign_in: SignIn, trail: Trail | None) -> list[Route]:
    """Who is signed in; with users of our own, the page and the way out too."""
    found = [Route("/api/session", partial(_session, sign_in))]
    if isinstance(sign_in, LocalUsers):
        found += [
            Route("/sign-in", partial(_show, sign_in), methods=["GET"]),
            Route("/sign-in", partial(_sign_in, sign_in), methods=["POST"]),
            Route("/api/sign-out", partial(_sign_out, sign_in, trail), methods=["POST"]),
        ]
    return found


def _session(sign_in: SignIn, request: Request) -> Response:
    user = user_of(request)
    return JSONResponse({"user": user.name, "role": user.role, "local": user is LOCAL, "sign_out": sign_in.sign_out})


async def _show(sign_in: LocalUsers, request: Request) -> Response:
    form = Form(next=_next(request.query_params.get("next", "")))
    if await run_in_threadpool(sign_in.account, sign_in.token(request.scope)):
        return _to(form.next)
    return _page(form, "", 200)


async def _sign_in(sign_in: LocalUsers, request: Request) -> Response:
    form = await _form(request)
    try:
        account = await sign_in.password(request.scope, form.name, form.password)
        # Not the session that the browser may have had: nobody else can know the token of this one.
        await run_in_threadpool(sign_in.sessions.end, sign_in.token(request.scope))
        token = await run_in_threadpool(sign_in.sessions.begin, account.name, account.stamp)
    except HTTPException as error:
        answer = _page(form, f"{error.detail[:1].upper()}{error.detail[1:]}.", error.status_code)
        if wait := (error.headers or {}).get("Retry-After"):
            answer.headers["Retry-After"] = wait
        return answer
    except OSError as error:
        return _page(form, f"You cannot be signed in ({error.strerror}): tell the administrator.", 507)
    answer = _to(form.next)
    _set_cookie(answer, sign_in, token)
    return answer


async def _sign_out(sign_in: LocalUsers, trail: Trail | None, request: Request) -> Response:
    user = user_of(request)
    await run_in_threadpool(sign_in.sessions.end, sign_in.token(request.scope))
    await run_in_threadpool(note_sign_out, trail, user.name, sign_in.peers.address(request.scope))
    answer = JSONResponse({"page": sign_in.page})
    _set_cookie(answer, sign_in, "", max_age=0)
    return answer


def _set_cookie(answer: Response, sign_in: LocalUsers, token: str, max_age: int | None = None) -> None:
    secure = not sign_in.plain_http
    answer.set_cookie(sign_in.cookie, token, max_age, path="/", secure=secure, httponly=True, samesite="strict")


async def _form(request: Request) -> Form:
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
    return Form(values["name"].strip(), values["password"], _next(values.get("next", "")))


def _next(path: str) -> str:
    """Where to go then: a page of ours and nothing else."""
    return path if _NEXT.fullmatch(path) else "/"


def _to(path: str) -> Response:
    # Relative to the page on which one signs in: a reverse proxy may show all of this below a path of its own.
    return RedirectResponse(f".{path}", status_code=303)


def _page(form: Form, wrong: str, status: int) -> Response:
    content = Template(_PAGE.read_text()).substitute(
        name=html.escape(form.name[:64]),
        next=html.escape(form.next),
        wrong=html.escape(wrong),
        hidden="" if wrong else "hidden",
        name_focus="" if form.name else "autofocus",
        password_focus="autofocus" if form.name else "",
    )
    return Response(content, status, {**PAGE_HEADERS, **_HEADERS}, "text/html")
