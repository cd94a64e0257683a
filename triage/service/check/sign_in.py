"""How people come in to the page; an identity provider is asked for its document and its keys, and signs nobody in."""

from __future__ import annotations

import time
from collections.abc import Iterator

from triage.errors import StartError
from triage.metrics.labels import SignInOutcome
from triage.service.check.finding import CheckResult, failed, ok
from triage.settings.schema import Settings
from triage.web.app import known_hosts
from triage.web.auth.oidc.errors import NotSignedInError
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.setup import refuse_open_door, sign_in_of


def check_sign_in(settings: Settings) -> Iterator[CheckResult]:
    """What would keep `web` from starting, or people from signing in."""
    host, sign_in = settings.web.host, settings.sign_in
    try:
        refuse_open_door(host, sign_in)
        door = sign_in_of(host, sign_in, _nobody_signs_in, settings.oidc, known_hosts(host, settings.web.names))
    except StartError as error:
        yield failed("sign-in", str(error))
        return
    if isinstance(door, ProvidedUsers):
        yield _asked(door)
    else:
        yield ok("sign-in", f"by {sign_in.method}" if sign_in.method else "nobody has to: the page is on loopback")


def _asked(door: ProvidedUsers) -> CheckResult:
    try:
        hosts = door.provider.reached_at(time.monotonic() + door.timeout_s)
    except NotSignedInError as error:
        return failed("sign-in", f"{error}. What to do: docs/how-to/runbook.md, Sign-in at an identity provider")
    return ok(
        "sign-in",
        f"the identity provider was asked at {', '.join(hosts)}; whether it takes our client and its secret, and "
        "gives roles, only a sign-in shows",
    )


def _nobody_signs_in(name: str, address: str, became: SignInOutcome, subject: str = "") -> None:
    """Nobody is asked who he is here."""
