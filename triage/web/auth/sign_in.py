"""How somebody is known: who is on this machine, whom a reverse proxy names, or a user of our own."""

from __future__ import annotations

import base64
import binascii
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
from triage.web.auth.password_check import Comparer, Note, found
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.session_cookie import Cookie, session_cookie
from triage.web.auth.sessions import Sessions

_PROXY_STREAM_S = 300.0  # then the page asks anew, and the proxy sees whether its session still lasts
_LONGEST_NAME = 64


class SignIn(Protocol):
    """One way to know who asks."""

    @property
    def page(self) -> str:
        """Where people sign in; empty where they do not do it here."""
        ...

    @property
    def sign_out(self) -> str:
        """Where the page's button leads; empty for none."""
        ...

    async def identify(self, scope: Scope) -> Caller:
        """Who asks. Raises HTTPException: 401 for nobody, 403 for somebody who is not let in."""
        ...


@dataclass(frozen=True)
class Loopback:
    """Whoever is on this machine is let in."""

    page = ""
    sign_out = ""

    async def identify(self, scope: Scope) -> Caller:
        """The local user."""
        client = scope.get("client")
        return Caller(LOCAL, client[0] if client else "")


@dataclass(frozen=True)
class Proxy:
    """A reverse proxy has asked who it is, and names the user in a header."""

    peers: TrustedProxies
    user_header: str
    role_header: str
    reader_roles: frozenset[str]
    admin_roles: frozenset[str]
    admins: frozenset[str]
    note: Note
    sign_out: str = ""
    page: str = ""

    async def identify(self, scope: Scope) -> Caller:
        """The user that the proxy names."""
        headers = Headers(scope=scope)
        named = headers.getlist(self.user_header)
        address = self.peers.address(scope)
        if not self.peers.is_proxy(scope):
            if named or (self.role_header and self.role_header in headers):
                await run_in_threadpool(self.note, _text(named[0]) if named else "", address, SignInOutcome.UNTRUSTED)
                raise HTTPException(403, f"{self.user_header} is taken from the reverse proxy alone")
            raise HTTPException(401, "ask through the reverse proxy, which signs people in")
        if len(named) != 1 or not is_name(name := _text(named[0])):
            raise HTTPException(401, f"the reverse proxy names no user in {self.user_header}")
        return Caller(User(name, self._role(headers, name)), address, stream_s=_PROXY_STREAM_S)

    def _role(self, headers: Headers, name: str) -> Role:
        if not self.role_header:
            return Role.ADMIN if name in self.admins else Role.READER
        given = {each.strip() for value in headers.getlist(self.role_header) for each in _text(value).split(",")}
        if given & self.admin_roles:
            return Role.ADMIN
        if given & self.reader_roles:
            return Role.READER
        raise HTTPException(403, f"the reverse proxy gives you no role here in {self.role_header}")


@dataclass(frozen=True)
class LocalUsers:
    """Users of our own: people by a session's cookie, programs by HTTP Basic (RFC 7617)."""

    users: Users
    sessions: Sessions
    peers: TrustedProxies
    note: Note
    plain_http: bool = False
    page: str = "/sign-in"
    sign_out: str = "/api/sign-out"
    _door: Comparer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_door", Comparer(self.users, self.note))

    @property
    def cookie(self) -> Cookie:
        """The session's."""
        return session_cookie(self.plain_http)

    async def identify(self, scope: Scope) -> Caller:
        """The user of a session or of Basic credentials."""
        headers = Headers(scope=scope)
        if "authorization" in headers:
            return await self._by_password(scope, headers["authorization"])
        token = self.cookie.of(scope)
        active = "x-triage-idle" not in headers
        account = await run_in_threadpool(self._by_session, token, active) if token else None
        if account is None:
            raise HTTPException(401, "sign in first", challenge(scope, self.page))
        return Caller(
            User(account.name, account.role),
            self.peers.address(scope),
            still=lambda: self._by_session(token, False) is not None,
        )

    async def password(self, scope: Scope, name: str, password: str) -> Account:
        """The user of that name and password. Raises HTTPException: 401 if it is wrong, 403 over plain HTTP, 429."""
        if not (self.plain_http or self.peers.is_private(scope)):
            raise HTTPException(403, "over plain HTTP others can read a password: ask for this page by https")
        return await self._door.open(name[:_LONGEST_NAME], password, self.peers.address(scope))

    def is_signed_in(self, token: str) -> bool:
        """Whether that session lasts, without taking it up."""
        return self._by_session(token, False) is not None

    async def _by_password(self, scope: Scope, authorization: str) -> Caller:
        given = _basic(authorization)
        if given is None:
            raise HTTPException(401, "only Basic credentials are taken here", challenge(scope, self.page))
        try:
            account = await self.password(scope, *given)
        except HTTPException as error:
            if error.status_code == 401:
                raise HTTPException(401, error.detail, challenge(scope, self.page)) from error
            raise
        return Caller(
            User(account.name, account.role),
            self.peers.address(scope),
            still=lambda: (now := found(self.users, account.name)) is not None and now.stamp == account.stamp,
        )

    def _by_session(self, token: str, active: bool) -> Account | None:
        session = self.sessions.find(token, active=active)
        if session is None or session.provided is not None:
            return None
        account = found(self.users, session.user)
        return account if account is not None and account.stamp == session.stamp else None


def challenge(scope: Scope, page: str, programs: bool = True) -> dict[str, str]:
    """What a 401 asks for: of a browser, whose own dialogue nobody can sign out of, a look at the page; else Basic, if
    ``programs`` can sign in.
    """
    browser = Headers(scope=scope).get("user-agent", "").startswith("Mozilla/")  # every browser says so, few programs
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
    """A header's value, that proxies write in UTF-8 and Starlette reads as Latin-1."""
    return header.encode("latin-1").decode("utf-8", "replace").strip()


def is_name(name: str, longest: int = _LONGEST_NAME) -> bool:
    """Whether somebody who signs in elsewhere can be called that here."""
    return 0 < len(name) <= longest and bool(name.strip()) and name.isprintable() and name != LOCAL.name
