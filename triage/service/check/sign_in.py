"""Check of the sign-in: an identity provider is asked for its metadata and keys, and no user is signed in."""

from __future__ import annotations

import time
from collections.abc import Iterator

from triage.errors import StartError
from triage.security.users import UserError
from triage.service.access import access_places
from triage.service.check.finding import CheckResult, failed, ok
from triage.settings.schema import Settings
from triage.web.app import known_hosts
from triage.web.auth.oidc.errors import NotSignedInError
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.setup import AccessSettings, refuse_open_server, sign_in_of
from triage.web.auth.sign_in_event import SignInEvent


def check_sign_in(settings: Settings) -> Iterator[CheckResult]:
    """Yield what would keep `web` from starting, or users from signing in."""
    host, sign_in = settings.web.host, settings.sign_in
    try:
        refuse_open_server(host, sign_in)
        lock, places = settings.web.idle_lock_minutes, access_places(settings, "triage check")
        access = AccessSettings(sign_in, settings.audit, settings.oidc, lock, places)
        users = sign_in_of(host, access, _no_attempt, known_hosts(host, settings.web.names))
    except (StartError, UserError) as error:
        yield failed("sign-in", str(error))
        return
    if isinstance(users, ProvidedUsers):
        yield _reached(users)
    else:
        yield ok("sign-in", f"by {sign_in.method}" if sign_in.method else "off: the page is on loopback")


def _reached(users: ProvidedUsers) -> CheckResult:
    try:
        hosts = users.provider.reach(time.monotonic() + users.timeout_s)
    except NotSignedInError as error:
        return failed("sign-in", f"{error}. What to do: docs/how-to/runbook.md, Sign-in at an identity provider")
    return ok(
        "sign-in",
        f"the identity provider was asked at {', '.join(hosts)}; whether it takes our client and its secret, and "
        "gives roles, only a sign-in shows",
    )


def _no_attempt(event: SignInEvent) -> None:
    """Record nothing: no user signs in here."""
