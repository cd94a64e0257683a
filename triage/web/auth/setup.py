"""From the settings to the door: how people come in, and StartError where anybody could."""

from __future__ import annotations

import logging
from functools import partial

from triage.errors import StartError
from triage.metrics.labels import SignInOutcome
from triage.metrics.process import Metrics
from triage.security.audit_message import Who
from triage.security.audit_trail import Trail, trail
from triage.security.users import Users
from triage.settings.access import AuditSettings, SignInSettings
from triage.settings.oidc import OidcSettings
from triage.spool.spool import Spool
from triage.web.auth.audit import Auditor, Openings, note_attempt
from triage.web.auth.guard import Entrance
from triage.web.auth.oidc.setup import NO_OIDC, provided_users
from triage.web.auth.password_check import Note
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.sessions import Sessions
from triage.web.auth.sign_in import LocalUsers, Loopback, Proxy, SignIn
from triage.web.http.middleware import LOOPBACK

logger = logging.getLogger(__name__)


def entrance(
    host: str, sign_in: SignInSettings, audit: AuditSettings, spool: Spool, metrics: Metrics, *,
    oidc: OidcSettings = NO_OIDC, hosts: frozenset[str] = frozenset(),
) -> Entrance:  # fmt: skip
    """How people come in to a service on ``host``, that is called ``hosts`` (empty: anything). Raises StartError if
    anybody could, or nobody.
    """
    refuse_open_door(host, sign_in)
    written = _trail(audit, metrics) if sign_in.method or audit.always else None
    if written is not None:
        written.begin()
    if sign_in.method:
        for outcome in SignInOutcome:
            metrics.sign_ins.labels(outcome)  # an alert needs to see it at zero first
    note = partial(_noted, written, metrics, Openings())
    auditor = Auditor(written, spool) if written is not None else None
    return Entrance(sign_in_of(host, sign_in, note, oidc, hosts), auditor, audit.required)


def refuse_open_door(host: str, sign_in: SignInSettings) -> None:
    """Raise StartError where anybody on the network could come in."""
    if not sign_in.method and host not in LOOPBACK:
        raise StartError(
            f"web.host {host} lets others in, and nobody has to sign in: set sign_in.method to users (and make them "
            "with `triage user add NAME --role reader`), oidc or proxy (docs/how-to/worklist-page.md), or web.host "
            "to 127.0.0.1"
        )


def sign_in_of(host: str, settings: SignInSettings, note: Note, oidc: OidcSettings, hosts: frozenset[str]) -> SignIn:
    """How people say who they are. Asks nobody yet. Raises StartError where nobody could, or for all to read."""
    peers = TrustedProxies.of(settings.trusted_proxies)
    if settings.method == "oidc":
        _not_for_all_to_read(host, settings)
        local = _local_users(host, settings, peers, note) if oidc.local_users else None
        return provided_users(settings, oidc, hosts, peers, _sessions(settings), note, local)
    if settings.method == "users":
        return _local_users(host, settings, peers, note)
    if settings.method == "proxy":
        return Proxy(
            peers,
            settings.user_header,
            settings.role_header,
            frozenset(settings.reader_roles),
            frozenset(settings.admin_roles),
            frozenset(settings.admins),
            note,
            settings.sign_out_address,
        )
    return Loopback()


def _local_users(host: str, settings: SignInSettings, peers: TrustedProxies, note: Note) -> LocalUsers:
    _not_for_all_to_read(host, settings)
    users = Users(settings.users_file)
    users.check()
    if not users.all():
        logger.warning("sign-in: there is no user yet, so nobody can sign in: `triage user add NAME --role admin`")
    return LocalUsers(users, _sessions(settings), peers, note, settings.plain_http)


def _sessions(settings: SignInSettings) -> Sessions:
    folder = settings.users_file.absolute().with_name("sessions")
    return Sessions(folder, settings.idle_minutes * 60, settings.longest_hours * 3600)


def _not_for_all_to_read(host: str, settings: SignInSettings) -> None:
    if host not in LOOPBACK and not (settings.plain_http or settings.trusted_proxies):
        raise StartError(
            f"on web.host {host} passwords would cross the network for all to read: put a reverse proxy with TLS "
            "before it and name its address in sign_in.trusted_proxies, or set sign_in.plain_http"
        )


def _trail(settings: AuditSettings, metrics: Metrics) -> Trail:
    for outcome in ("written", "failed"):
        metrics.audit_messages.labels(outcome)  # an alert needs to see it at zero first
    return trail(
        settings.path.absolute(),
        settings.rotate_at_bytes,
        settings.source,
        "triage web",
        lambda done: metrics.audit_messages.labels("written" if done else "failed").inc(),
    )


_CHEAP = (SignInOutcome.THROTTLED, SignInOutcome.UNTRUSTED, SignInOutcome.INVALID, SignInOutcome.FAILED)
"""Attempts that cost whoever makes them nothing: written down once in a while, or they would fill the disk."""


def _noted(
    written: Trail | None, metrics: Metrics, told: Openings, name: str, address: str, became: SignInOutcome,
    subject: str = "",
) -> None:  # fmt: skip
    metrics.sign_ins.labels(became).inc()
    if became in _CHEAP:
        if told.is_open((address, became)):
            return
        told.opened((address, became))
    if became is not SignInOutcome.ACCEPTED:
        logger.warning("sign-in: an attempt from %s was %s", address or "an unknown address", became)
    note_attempt(written, Who(name, address, subject), became)
