"""Sign-in methods: the user of this machine, the user that a reverse proxy names, or a local user."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from triage.metrics.labels import SignInOutcome
from triage.security.roles import Role
from triage.security.users import Account, Users
from triage.web.auth.caller import LOCAL, Caller, User
from triage.web.auth.password_check import Credentials, PasswordVerifier, find_account
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.role_mapping import RoleMapping
from triage.web.auth.session_context import SessionContext
from triage.web.auth.sign_in_event import SignInEvent, SignInRecorder
from triage.web.auth.throttle import Throttle

_PROXY_STREAM_S = 300.0  # then the page requests again, and the proxy checks its own session
_LONGEST_NAME = 64


class SignIn(Protocol):
    """A method to identify the caller of a request."""

    @property
    def page(self) -> str:
        """Path of the sign-in page; empty for none."""
        ...

    @property
    def sign_out(self) -> str:
        """Path or address of the sign-out button; empty for none."""
        ...

    async def identify(self, scope: Scope) -> Caller:
        """Return the caller. Raises HTTPException: 401 for an unknown caller, 403 for one without access."""
        ...


@dataclass(frozen=True)
class Loopback:
    """Admits everybody as the local user: for a server on loopback only."""

    page = ""
    sign_out = ""

    async def identify(self, scope: Scope) -> Caller:
        """Return the local user."""
        client = scope.get("client")
        return Caller(LOCAL, client[0] if client else "")


@dataclass(frozen=True)
class ProxyUsers:
    """Users whom a trusted reverse proxy has authenticated and names in a header."""

    peers: TrustedProxies
    user_header: str
    role_header: str
    roles: RoleMapping
    named: Mapping[str, Role]
    record: SignInRecorder
    sign_out: str = ""
    page: str = ""

    async def identify(self, scope: Scope) -> Caller:
        """Return the user that the proxy names."""
        headers = Headers(scope=scope)
        named = headers.getlist(self.user_header)
        address = self.peers.address(scope)
        if not self.peers.is_proxy(scope):
            if named or (self.role_header and self.role_header in headers):
                event = SignInEvent(_text(named[0]) if named else "", address, SignInOutcome.UNTRUSTED)
                await run_in_threadpool(self.record, event)
                raise HTTPException(403, f"{self.user_header} is accepted from the reverse proxy only")
            raise HTTPException(401, "use the address of the reverse proxy, which signs users in")
        if len(named) != 1 or not is_name(name := _text(named[0])):
            raise HTTPException(401, f"the reverse proxy names no user in {self.user_header}")
        return Caller(User(name, self._role(headers, name)), address, stream_s=_PROXY_STREAM_S)

    def _role(self, headers: Headers, name: str) -> Role:
        if not self.role_header:
            return self.named.get(name, Role.READER)
        given = {each.strip() for value in headers.getlist(self.role_header) for each in _text(value).split(",")}
        role = self.roles.role(given)
        if role is None:
            raise HTTPException(403, f"the reverse proxy gives you no role here in {self.role_header}")
        return role


@dataclass(frozen=True)
class LocalUsers:
    """Local users: people with a session cookie, programs with HTTP Basic (RFC 7617)."""

    users: Users
    context: SessionContext
    throttle: Throttle
    page: str = "/sign-in"
    sign_out: str = "/api/sign-out"
    _verifier: PasswordVerifier = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_verifier", PasswordVerifier(self.users, self.throttle, self.context.record))

    def takes_credentials(self, headers: Headers) -> bool:
        """Return True if a request has credentials for HTTP authentication."""
        return "authorization" in headers

    async def identify(self, scope: Scope) -> Caller:
        """Return the user of a session or of Basic credentials."""
        headers = Headers(scope=scope)
        if self.takes_credentials(headers):
            return await self._by_password(scope, headers["authorization"])
        token = self.context.cookie.of(scope)
        active = "x-triage-idle" not in headers
        account = await run_in_threadpool(self._by_session, token, active) if token else None
        if account is None:
            raise HTTPException(401, "sign in first", challenge(scope, await self.context.page(scope, self.page)))
        return Caller(
            User(account.name, account.role),
            self.context.address(scope),
            still_valid=lambda: self._by_session(token, False) is not None,
        )

    async def password(self, scope: Scope, name: str, password: str) -> Account:
        """Return the user with that name and password.

        Raises HTTPException: 401 if the password is wrong, 403 over plain HTTP, 429 or 503 if there are too many tries.
        """
        if not self.context.is_allowed(scope):
            raise HTTPException(403, "over plain HTTP others can read a password: open this page by https")
        return await self._verifier.verify(Credentials(name[:_LONGEST_NAME], password, self.context.address(scope)))

    def is_signed_in(self, token: str) -> bool:
        """Return True if the session lasts, without extending it."""
        return self._by_session(token, False) is not None

    async def _by_password(self, scope: Scope, authorization: str) -> Caller:
        given = _basic(authorization)
        if given is None:
            raise HTTPException(401, "only Basic credentials are accepted here", challenge(scope, self.page))
        try:
            account = await self.password(scope, *given)
        except HTTPException as error:
            if error.status_code == 401:
                raise HTTPException(401, error.detail, challenge(scope, self.page)) from error
            raise
        return Caller(
            User(account.name, account.role),
            self.context.address(scope),
            still_valid=lambda: (
                (now := find_account(self.users, account.name)) is not None and now.stamp == account.stamp
            ),
        )

    def _by_session(self, token: str, active: bool) -> Account | None:
        session = self.context.sessions.find(token, active=active)
        if session is None or session.provided is not None:
            return None
        account = find_account(self.users, session.user)
        return account if account is not None and account.stamp == session.stamp else None


@dataclass(frozen=True)
class NoLocalUsers:
    """Stands for the local users where only users of the identity provider may sign in: it knows none."""

    page: str = "/sign-in"
    sign_out: str = "/api/sign-out"

    def takes_credentials(self, headers: Headers) -> bool:
        """Return False: there is no user with a password."""
        return False

    async def identify(self, scope: Scope) -> Caller:
        """Raise HTTPException 401, which leads to the sign-in page."""
        raise HTTPException(401, "sign in first", challenge(scope, self.page, programs=False))

    def is_signed_in(self, token: str) -> bool:
        """Return False: there is no session of a local user."""
        return False


def challenge(scope: Scope, page: str, programs: bool = True) -> dict[str, str]:
    """Return the WWW-Authenticate header of a 401.

    A browser is sent to the sign-in page, as its own dialogue has no sign-out; other clients to Basic, unless
    ``programs`` cannot sign in.
    """
    browser = Headers(scope=scope).get("user-agent", "").startswith("Mozilla/")  # every browser sends it, few programs
    if browser or not programs:
        return {"WWW-Authenticate": f'Form realm="cxr-triage", page="{page}"'}
    return {"WWW-Authenticate": 'Basic realm="cxr-triage", charset="UTF-8"'}


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic" or len(value) > 1024:
        return None
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


def _text(header: str) -> str:
    """Return the value of a header that proxies write in UTF-8 and Starlette decodes as Latin-1."""
    return header.encode("latin-1").decode("utf-8", "replace").strip()


def is_name(name: str, longest: int = _LONGEST_NAME) -> bool:
    """Return True if a user who signs in elsewhere may have this name here."""
    return 0 < len(name) <= longest and bool(name.strip()) and name.isprintable() and name != LOCAL.name
