"""The parts that every user with a session shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from triage.metrics.labels import SignInOutcome
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.session_cookie import Cookie, session_cookie
from triage.web.auth.sessions import Sessions
from triage.web.auth.sign_in_event import SignInEvent, SignInRecorder
from triage.web.auth.used_states import ProcessStates, UsedStates

LOCKED = "/locked"
"""Path of the page of a locked session."""


@dataclass(frozen=True)
class SessionContext:
    """Sessions, trusted proxies and the recorder of attempts; ``plain_http``: plain HTTP is allowed off loopback.

    ``used``: states that came back from an identity provider.
    """

    sessions: Sessions
    peers: TrustedProxies
    record: SignInRecorder
    plain_http: bool = False
    used: UsedStates = field(default_factory=ProcessStates)

    @property
    def cookie(self) -> Cookie:
        """The cookie of a session."""
        return session_cookie(self.plain_http)

    async def page(self, scope: Scope, page: str) -> str:
        """Return the page that a browser without access is led to: ``page``, or that of a locked session."""
        token = self.cookie.of(scope)
        locked: bool = await run_in_threadpool(self.sessions.is_locked, token)
        return LOCKED if locked else page

    def address(self, scope: Scope) -> str:
        """Return the address that a request comes from."""
        return self.peers.address(scope)

    def is_allowed(self, scope: Scope) -> bool:
        """Return True if secrets may be sent with this request: over TLS, on loopback, or ``plain_http``."""
        return self.plain_http or self.peers.is_private(scope)

    async def attempted(self, scope: Scope, name: str, outcome: SignInOutcome, subject: str = "") -> None:
        """Record an attempt to sign in by this request."""
        await run_in_threadpool(self.record, SignInEvent(name, self.address(scope), outcome, subject))
