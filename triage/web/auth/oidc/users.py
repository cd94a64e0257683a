"""People who sign in at an identity provider and then have a session of ours; and users of our own beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from triage.security.roles import Role
from triage.web.auth.caller import Caller, User
from triage.web.auth.oidc.errands import Errands
from triage.web.auth.password_check import Note
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.session_cookie import Cookie, session_cookie
from triage.web.auth.sessions import Sessions
from triage.web.auth.sign_in import LocalUsers, challenge

if TYPE_CHECKING:  # it needs the extra
    from triage.web.auth.oidc.provider import Provider


@dataclass(frozen=True)
class ProvidedUsers:
    """``stamp`` is that of the settings that a role rests on. ``local``: users of our own come in, too.

    What the provider says counts from sign-in to the end of the session: it is not asked again in between.
    """

    provider: Provider
    stamp: str
    sessions: Sessions
    peers: TrustedProxies
    note: Note
    timeout_s: float
    local: LocalUsers | None = None
    plain_http: bool = False
    page: str = "/sign-in"
    sign_out: str = "/api/sign-out"
    errands: Errands = field(default_factory=Errands)

    @property
    def cookie(self) -> Cookie:
        """The session's."""
        return session_cookie(self.plain_http)

    @property
    def attempt_cookie(self) -> Cookie:
        """That of an attempt to sign in. It has to come along when the provider's page leads back here."""
        return Cookie("triage-attempt", self.plain_http, "lax")

    async def identify(self, scope: Scope) -> Caller:
        """The user of a session, or one of our own."""
        if self.local is not None and "authorization" in Headers(scope=scope):
            return await self.local.identify(scope)
        token = self.cookie.of(scope)
        active = "x-triage-idle" not in Headers(scope=scope)
        user = await run_in_threadpool(self._by_session, token, active) if token else None
        if user is not None:
            return Caller(user, self.peers.address(scope), still=lambda: self._by_session(token, False) is not None)
        if self.local is not None:
            return await self.local.identify(scope)
        raise HTTPException(401, "sign in first", challenge(scope, self.page, programs=False))

    def is_signed_in(self, token: str) -> bool:
        """Whether that session lasts, without taking it up."""
        return self._by_session(token, False) is not None or (self.local is not None and self.local.is_signed_in(token))

    def _by_session(self, token: str, active: bool) -> User | None:
        session = self.sessions.find(token, active=active)
        if session is None or session.provided is None or session.stamp != self.stamp:
            return None
        try:
            return User(session.user, Role(session.provided.role))
        except ValueError:  # a role of another release
            return None
