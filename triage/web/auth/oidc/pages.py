"""Redirects to the identity provider and back."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from triage.errors import cause
from triage.metrics.labels import SignInOutcome
from triage.web.auth.oidc.attempt import LIFETIME_S, Attempt
from triage.web.auth.oidc.claims import ProviderIdentity
from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem, invalid
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.own_page import own_page
from triage.web.auth.sessions import ProviderSession

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LONGEST_CODE = 4096


@dataclass(frozen=True)
class SignInRoutes:
    """The two routes below the sign-in page that lead to the provider and back."""

    users: ProvidedUsers

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/sign-in/begin", self.begin, methods=["GET"]),
            Route("/sign-in/callback", self.callback, methods=["GET"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Redirect a browser to the provider."""
        attempt = Attempt.begun(request.query_params.get("next", ""))
        try:
            self._check_encryption(request)
            address = await self._call(request, lambda until: self.users.provider.sign_in_address(attempt, until))
        except NotSignedInError as error:
            return await self._refuse(request, error, attempt.next)
        response = RedirectResponse(address, 303)
        self.users.attempt_cookie.put(response, attempt.cookie, LIFETIME_S)
        return response

    async def callback(self, request: Request) -> Response:
        """Begin the session of a user whom the provider sends back."""
        attempt = Attempt.of_cookie(self.users.attempt_cookie.of(request.scope))
        try:
            self._check_encryption(request)
            if attempt is None or not _belongs(request, attempt):  # an attempt in another window goes on
                raise NotSignedInError(SignInProblem.STALE, "a response belongs to no attempt of its browser (state)")
        except NotSignedInError as error:
            return await self._refuse(request, error, attempt.next if attempt else "/")
        try:
            response = await self._redeem(request, attempt)
        except NotSignedInError as error:
            response = await self._refuse(request, error, attempt.next)
        self.users.attempt_cookie.put(response, "", 0)
        return response

    async def _redeem(self, request: Request, attempt: Attempt) -> Response:
        values = _values(request)
        if not await run_in_threadpool(self.users.context.used.add_new, attempt.state):
            raise NotSignedInError(SignInProblem.STALE, "a response came a second time")
        if "error" in values:
            raise _denied(values["error"])
        code = values.get("code", "")
        if not 0 < len(code) <= _LONGEST_CODE:
            raise invalid("the identity provider sent a user back without a code")
        issuer = values.get("iss")
        identity, id_token = await self._call(
            request, lambda until: self.users.provider.redeem(code, issuer, attempt, until)
        )
        return await self._begin_session(request, identity, id_token, attempt)

    async def _begin_session(
        self, request: Request, identity: ProviderIdentity, id_token: str, attempt: Attempt
    ) -> Response:
        users = self.users
        try:
            # A new session, not an earlier one of the browser: no one else can know its token.
            await run_in_threadpool(users.context.sessions.end, users.context.cookie.of(request.scope))
            provided = ProviderSession(identity.role, id_token)
            token = await run_in_threadpool(users.context.sessions.begin, identity.name, users.stamp, provided)
        except OSError as error:
            message = f"the session cannot be saved: {cause(error)}"
            raise NotSignedInError(SignInProblem.NOT_SAVED, message, identity.name, identity.subject) from error
        await users.context.attempted(request.scope, identity.name, SignInOutcome.ACCEPTED, identity.subject)
        response = _redirect(attempt.next)
        users.context.cookie.put(response, token)
        return response

    async def _call(self, request: Request, call: Callable[[float], T]) -> T:
        until = time.monotonic() + self.users.timeout_s
        address = self.users.context.address(request.scope)
        return await self.users.calls.run(address, lambda: call(until), self.users.timeout_s)

    def _check_encryption(self, request: Request) -> None:
        if not self.users.context.is_allowed(request.scope):
            raise NotSignedInError(SignInProblem.PLAIN_HTTP, "an attempt to sign in came over plain HTTP")

    async def _refuse(self, request: Request, error: NotSignedInError, page: str) -> Response:
        logger.warning("sign-in: %s", error)
        await self.users.context.attempted(request.scope, error.name, error.outcome, error.subject)
        # A redirect: the address here holds a code, and a reload would request it again.
        return _redirect(f"/sign-in?{urlencode({'wrong': error.problem, 'next': own_page(page)})}")


def _belongs(request: Request, attempt: Attempt) -> bool:
    state = request.query_params.get("state", "").encode("utf-8", "replace")
    return hmac.compare_digest(state, attempt.state.encode())


def _values(request: Request) -> dict[str, str]:
    """Return the parameters of the response; none may occur twice (RFC 6749 3.1)."""
    given = request.query_params.multi_items()
    values = dict(given)
    if len(values) != len(given):
        raise invalid("a response has a parameter twice")
    return values


def _denied(code: str) -> NotSignedInError:
    if code == "access_denied":
        return NotSignedInError(SignInProblem.DENIED, "the identity provider refused a user (access_denied)")
    known = code if code.isascii() and code.replace("_", "").isalpha() and len(code) <= 40 else "another error"
    return NotSignedInError(SignInProblem.UNREACHABLE, f"the identity provider sent a user back with {known}")


def _redirect(path: str) -> Response:
    # Relative to this address: a reverse proxy may serve all of this below a path of its own.
    return RedirectResponse(f"..{path}", 303)
