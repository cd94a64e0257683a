"""Users who sign in at an identity provider and then have a session here, with or without local users."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from triage.security.roles import Role
from triage.web.auth.caller import Caller, User
from triage.web.auth.oidc.provider_calls import ProviderCalls
from triage.web.auth.session_context import SessionContext
from triage.web.auth.session_cookie import Cookie
from triage.web.auth.sign_in import LocalUsers, NoLocalUsers, challenge

if TYPE_CHECKING:  # it needs the extra
    from triage.web.auth.oidc.provider import Provider


@dataclass(frozen=True)
class ProvidedUsers:
    """Users of an identity provider, and ``local`` ones.

    ``stamp`` is the digest of the settings that a role depends on. Name and role hold from sign-in to the end of the
    session: the provider is not contacted in between.
    """

    provider: Provider
    stamp: str
    context: SessionContext
    timeout_s: float
    local: LocalUsers | NoLocalUsers
    page: str = "/sign-in"
    sign_out: str = "/api/sign-out"
    calls: ProviderCalls = field(default_factory=ProviderCalls)

    @property
    def attempt_cookie(self) -> Cookie:
        """The cookie of an attempt. The browser must send it when the provider's page leads back here."""
        return Cookie("triage-attempt", self.context.plain_http, "lax")

    async def identify(self, scope: Scope) -> Caller:
        """Return the user of a session, or a local user."""
        headers = Headers(scope=scope)
        if self.local.takes_credentials(headers):
            return await self.local.identify(scope)
        token = self.context.cookie.of(scope)
        active = "x-triage-idle" not in headers
        user = await run_in_threadpool(self._by_session, token, active) if token else None
        if user is None:
            if (page := await self.context.page(scope, self.page)) != self.page:
                raise HTTPException(
                    401, "sign in again: this session is locked", challenge(scope, page, programs=False)
                )
            return await self.local.identify(scope)
        address = self.context.address(scope)
        return Caller(user, address, still_valid=lambda: self._by_session(token, False) is not None)

    def is_signed_in(self, token: str) -> bool:
        """Return True if the session lasts, without extending it."""
        return self._by_session(token, False) is not None or self.local.is_signed_in(token)

    def _by_session(self, token: str, active: bool) -> User | None:
        session = self.context.sessions.find(token, active=active)
        if session is None or session.provided is None or session.stamp != self.stamp:
            return None
        try:
            return User(session.user, Role(session.provided.role))
        except ValueError:  # a role of another release
            return None
