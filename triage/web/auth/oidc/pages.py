"""To the identity provider, and back from it."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from triage.metrics.labels import SignInOutcome
from triage.web.auth.oidc.attempt import LASTS_S, Attempt
from triage.web.auth.oidc.claims import Person
from triage.web.auth.oidc.errors import NotSignedInError, Wrong, invalid
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.own_page import own_page
from triage.web.auth.sessions import Provided

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LONGEST_CODE = 4096
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Spent:
    """Attempts that came back, in this process: none does so twice. The provider, too, takes a code once."""

    _states: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self, state: str) -> bool:
        """Whether it came back for the first time."""
        with self._lock:
            if state in self._states:
                return False
            self._states[state] = None
            while len(self._states) > _REMEMBERED:
                self._states.popitem(last=False)
            return True


@dataclass(frozen=True)
class SignInRoutes:
    """The two addresses beside the page."""

    users: ProvidedUsers
    spent: Spent = field(default_factory=Spent)

    def routes(self) -> list[Route]:
        """They are below the sign-in page's own."""
        return [
            Route("/sign-in/begin", self.begin, methods=["GET"]),
            Route("/sign-in/callback", self.callback, methods=["GET"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Send somebody to the provider."""
        attempt = Attempt.begun(request.query_params.get("next", ""))
        try:
            self._over_tls(request)
            address = await self._ask(request, lambda until: self.users.provider.where_to(attempt, until))
        except NotSignedInError as error:
            return await self._refused(request, error, attempt.next)
        answer = RedirectResponse(address, 303)
        self.users.attempt_cookie.put(answer, attempt.cookie, LASTS_S)
        return answer

    async def callback(self, request: Request) -> Response:
        """Let in whom the provider sends back."""
        attempt = Attempt.of_cookie(self.users.attempt_cookie.of(request.scope))
        try:
            self._over_tls(request)
            if attempt is None or not _belongs(request, attempt):  # one that is under way in another window goes on
                raise NotSignedInError(Wrong.STALE, "an answer belongs to no attempt of its browser (state)")
        except NotSignedInError as error:
            return await self._refused(request, error, attempt.next if attempt else "/")
        try:
            answer = await self._let_in(request, attempt)
        except NotSignedInError as error:
            answer = await self._refused(request, error, attempt.next)
        self.users.attempt_cookie.put(answer, "", 0)
        return answer

    async def _let_in(self, request: Request, attempt: Attempt) -> Response:
        values = _values(request)
        if not self.spent.spend(attempt.state):
            raise NotSignedInError(Wrong.STALE, "an answer was brought a second time")
        if "error" in values:
            raise _denied(values["error"])
        code = values.get("code", "")
        if not 0 < len(code) <= _LONGEST_CODE:
            raise invalid("the identity provider sent somebody back without a code")
        issuer = values.get("iss")
        person, token = await self._ask(request, lambda until: self.users.provider.who(code, issuer, attempt, until))
        return await self._session(request, person, token, attempt)

    async def _session(self, request: Request, person: Person, token: str, attempt: Attempt) -> Response:
        users = self.users
        try:
            # Not the session that the browser may have had: nobody else can know the token of this one.
            await run_in_threadpool(users.sessions.end, users.cookie.of(request.scope))
            provided = Provided(person.role, token)
            begun = await run_in_threadpool(users.sessions.begin, person.name, users.stamp, provided)
        except OSError as error:
            message = f"the session cannot be kept: {error.strerror}"
            raise NotSignedInError(Wrong.NOT_KEPT, message, person.name, person.subject) from error
        address = users.peers.address(request.scope)
        await run_in_threadpool(users.note, person.name, address, SignInOutcome.ACCEPTED, person.subject)
        answer = _to(attempt.next)
        users.cookie.put(answer, begun)
        return answer

    async def _ask(self, request: Request, call: Callable[[float], T]) -> T:
        until = time.monotonic() + self.users.timeout_s
        address = self.users.peers.address(request.scope)
        return await self.users.errands.run(address, lambda: call(until), self.users.timeout_s)

    def _over_tls(self, request: Request) -> None:
        if not (self.users.plain_http or self.users.peers.is_private(request.scope)):
            raise NotSignedInError(Wrong.PLAIN_HTTP, "somebody wants to sign in over plain HTTP")

    async def _refused(self, request: Request, error: NotSignedInError, page: str) -> Response:
        logger.warning("sign-in: %s", error)
        address = self.users.peers.address(request.scope)
        await run_in_threadpool(self.users.note, error.name, address, error.outcome, error.subject)
        # To the page, and not an answer here: the address has a code in it, and would be asked again by a reload.
        return _to(f"/sign-in?{urlencode({'wrong': error.wrong, 'next': own_page(page)})}")


def _belongs(request: Request, attempt: Attempt) -> bool:
    state = request.query_params.get("state", "").encode("utf-8", "replace")
    return hmac.compare_digest(state, attempt.state.encode())


def _values(request: Request) -> dict[str, str]:
    """The answer's parameters; none may be there twice (RFC 6749 3.1)."""
    given = request.query_params.multi_items()
    values = dict(given)
    if len(values) != len(given):
        raise invalid("an answer has a parameter twice")
    return values


def _denied(code: str) -> NotSignedInError:
    if code == "access_denied":
        return NotSignedInError(Wrong.DENIED, "the identity provider did not let somebody in (access_denied)")
    known = code if code.isascii() and code.replace("_", "").isalpha() and len(code) <= 40 else "another error"
    return NotSignedInError(Wrong.UNREACHABLE, f"the identity provider sent somebody back with {known}")


def _to(path: str) -> Response:
    # Relative to where we are: a reverse proxy may show all of this below a path of its own.
    return RedirectResponse(f"..{path}", 303)
