"""The sign-in page: a form without scripts, and a session whose cookie no script can read."""

from __future__ import annotations

import html
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from triage.errors import cause
from triage.web.auth.auditing import Auditing
from triage.web.auth.caller import LOCAL, user_of
from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem
from triage.web.auth.oidc.pages import SignInRoutes
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.own_page import own_page
from triage.web.auth.session_context import LOCKED
from triage.web.auth.sign_in import LocalUsers, SignIn
from triage.web.http.request_body import MediaType, read_body
from triage.web.http.static import PAGE_HEADERS
from triage.web.languages import filled, language_of, text

logger = logging.getLogger(__name__)

_PAGE = Path(__file__).parents[1] / "page" / "sign-in.html"
_FORM = MediaType("application/x-www-form-urlencoded", 4096, "send the form of /sign-in; programs use HTTP Basic")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # With no-referrer a browser hides the origin of the form, and SameOrigin would refuse it.
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True)
class SignInForm:
    """Content of the form; ``next`` is the page to show afterwards."""

    name: str = ""
    password: str = ""
    next: str = "/"


def routes(sign_in: SignIn, auditing: Auditing, language: str = "auto") -> list[Route]:
    """Return the routes of the session, and those of the sign-in page where users have sessions here.

    ``language``: the setting, for browsers in which no user has chosen one.
    """
    found = [Route("/api/session", partial(_session, sign_in))]
    if isinstance(sign_in, LocalUsers | ProvidedUsers):
        found.append(Route("/api/session/lock", partial(_lock, sign_in), methods=["POST"]))
    if isinstance(sign_in, LocalUsers | ProvidedUsers):
        found += [
            Route("/sign-in", partial(_show, sign_in, language), methods=["GET"]),
            Route("/api/sign-out", partial(_sign_out, sign_in, auditing), methods=["POST"]),
        ]
    if isinstance(sign_in, ProvidedUsers):
        found += SignInRoutes(sign_in).routes()
    local = sign_in.local if isinstance(sign_in, ProvidedUsers) else sign_in
    if isinstance(local, LocalUsers):
        found.append(Route("/sign-in", partial(_sign_in, local, _PageOptions.of(sign_in), language), methods=["POST"]))
    return found


@dataclass(frozen=True)
class _PageOptions:
    """Options that the page offers."""

    passwords: bool
    provider: bool

    @classmethod
    def of(cls, sign_in: SignIn) -> _PageOptions:
        if isinstance(sign_in, ProvidedUsers):
            return cls(isinstance(sign_in.local, LocalUsers), True)
        return cls(isinstance(sign_in, LocalUsers), False)


def _session(sign_in: SignIn, request: Request) -> Response:
    user = user_of(request)
    lock_s = sign_in.context.sessions.lock_s if isinstance(sign_in, LocalUsers | ProvidedUsers) else 0.0
    known = {"user": user.name, "role": user.role, "local": user is LOCAL, "sign_out": sign_in.sign_out}
    return JSONResponse({**known, **({"idle_lock_s": lock_s} if lock_s else {})})


async def _lock(sign_in: LocalUsers | ProvidedUsers, request: Request) -> Response:
    """Lock the session of a page that nothing was done on; the page leaves the screen first."""
    sessions = sign_in.context.sessions
    if not sessions.lock_s:
        raise HTTPException(404, "sessions are not locked here (web.idle_lock_minutes)")
    await run_in_threadpool(sessions.lock, sign_in.context.cookie.of(request.scope))
    return JSONResponse({"page": LOCKED})


async def _show(sign_in: LocalUsers | ProvidedUsers, language: str, request: Request) -> Response:
    form = SignInForm(next=own_page(request.query_params.get("next", "")))
    if await run_in_threadpool(sign_in.is_signed_in, sign_in.context.cookie.of(request.scope)):
        return _redirect(form.next)
    problem = _problem(request)
    shown = language_of(request, language)
    message = "" if problem is None else text(shown, f"problem.{problem}")
    return _page(shown, _PageOptions.of(sign_in), form, message, 200)


def _problem(request: Request) -> SignInProblem | None:
    try:
        return SignInProblem(request.query_params.get("wrong", ""))
    except ValueError:
        return None


async def _sign_in(sign_in: LocalUsers, options: _PageOptions, language: str, request: Request) -> Response:
    form, shown = await _form(request), language_of(request, language)
    cookie, sessions = sign_in.context.cookie, sign_in.context.sessions
    try:
        account = await sign_in.password(request.scope, form.name, form.password)
        # A new session, not an earlier one of the browser: no one else can know its token.
        await run_in_threadpool(sessions.end, cookie.of(request.scope))
        token = await run_in_threadpool(sessions.begin, account.name, account.stamp)
    except HTTPException as error:
        wait = (error.headers or {}).get("Retry-After")
        response = _page(shown, options, form, _refusal(shown, error, wait), error.status_code)
        if wait:
            response.headers["Retry-After"] = wait
        return response
    except OSError as error:
        return _page(shown, options, form, text(shown, "sign_in.not_kept", why=cause(error)), 507)
    response = _redirect(form.next)
    cookie.put(response, token)
    return response


async def _sign_out(sign_in: LocalUsers | ProvidedUsers, auditing: Auditing, request: Request) -> Response:
    cookie, sessions = sign_in.context.cookie, sign_in.context.sessions
    user, token = user_of(request), cookie.of(request.scope)
    session = await run_in_threadpool(partial(sessions.find, token, active=False))
    await run_in_threadpool(sessions.end, token)
    await run_in_threadpool(auditing.sign_out, user.name, sign_in.context.address(request.scope))
    leave = ""
    if isinstance(sign_in, ProvidedUsers) and session is not None and session.provided is not None:
        leave = await _sign_out_address(sign_in, session.provided.id_token, request)
    response = JSONResponse({"page": sign_in.page, **({"leave": leave} if leave else {})})
    cookie.put(response, "", 0)
    return response


async def _sign_out_address(sign_in: ProvidedUsers, id_token: str, request: Request) -> str:
    """Return the address for signing out of the provider, empty for none. The session here has ended already."""
    until = time.monotonic() + sign_in.timeout_s
    try:
        return await sign_in.calls.run(
            sign_in.context.address(request.scope),
            lambda: sign_in.provider.sign_out_address(id_token, until),
            sign_in.timeout_s,
        )
    except NotSignedInError as error:
        logger.warning("sign-in: a user signed out here, and not at the identity provider: %s", error)
        return ""


async def _form(request: Request) -> SignInForm:
    content = await read_body(request, _FORM)
    try:
        values = dict(parse_qsl(content.decode(), max_num_fields=8, strict_parsing=True, errors="strict"))
    except ValueError as error:
        raise HTTPException(400, "not a form") from error
    if not (values.get("name", "").strip() and values.get("password")):
        raise HTTPException(400, "name and password are both needed")
    return SignInForm(values["name"].strip(), values["password"], own_page(values.get("next", "")))


def _redirect(path: str) -> Response:
    # Relative to the sign-in page: a reverse proxy may serve all of this below a path of its own.
    return RedirectResponse(f".{path}", status_code=303)


def _refusal(language: str, error: HTTPException, wait: str | None) -> str:
    """Return the words for a refused password; others are for the administrator, in English."""
    if error.status_code == 429 and wait:
        return text(language, "sign_in.wait", seconds=wait)
    known = {401: "sign_in.wrong", 403: "sign_in.plain_http"}
    if error.status_code in known:
        return text(language, known[error.status_code])
    return f"{error.detail[:1].upper()}{error.detail[1:]}."


def _page(language: str, options: _PageOptions, form: SignInForm, message: str, status: int) -> Response:
    values = {
        "name": html.escape(form.name[:64]),
        "next": html.escape(form.next),
        "wrong": html.escape(message),
        "hidden": "" if message else "hidden",
        "elsewhere": "" if options.provider else "hidden",
        "here": "" if options.passwords else "hidden",
        "begin": html.escape(f"sign-in/begin?{urlencode({'next': form.next})}"),
        "elsewhere_focus": "autofocus" if options.provider and not form.name else "",
        "name_focus": "" if form.name or options.provider else "autofocus",
        "password_focus": "autofocus" if form.name else "",
    }
    content = filled(_PAGE, language, values)
    return Response(content, status, {**PAGE_HEADERS, **_HEADERS}, "text/html")
