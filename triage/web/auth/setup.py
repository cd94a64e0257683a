"""Access control from the settings, with a StartError where the page would be open to the network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from triage.errors import StartError
from triage.metrics.labels import SignInOutcome
from triage.metrics.web import WebMetrics
from triage.security.audit_message import AuditSource
from triage.security.audit_trail import trail_of
from triage.security.roles import Role
from triage.settings.sections.audit import AuditSettings
from triage.settings.sections.oidc import OidcSettings
from triage.settings.sections.sign_in import SignInSettings
from triage.spool.store import Store
from triage.web.auth.audit import AuditRecorder, RecentEvents
from triage.web.auth.auditing import Auditing, NoAuditing, TrailAuditing
from triage.web.auth.guard import AccessControl
from triage.web.auth.oidc.setup import provided_users
from triage.web.auth.places import AccessPlaces, places_of_host
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.role_mapping import RoleMapping
from triage.web.auth.session_context import SessionContext
from triage.web.auth.sessions import SessionTimes
from triage.web.auth.sign_in import LocalUsers, Loopback, NoLocalUsers, ProxyUsers, SignIn
from triage.web.auth.sign_in_event import SignInEvent, SignInRecorder
from triage.web.http.middleware import LOOPBACK

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AccessSettings:
    """Settings of sign-in, audit trail and identity provider. ``idle_lock_minutes``: see web.idle_lock_minutes.

    ``places``: those of users, sessions and audit trail; None: the files that the settings name.
    """

    sign_in: SignInSettings = field(default_factory=SignInSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    oidc: OidcSettings = field(default_factory=OidcSettings)
    idle_lock_minutes: float = 0.0
    places: AccessPlaces | None = None

    @property
    def kept_in(self) -> AccessPlaces:
        """The places of users, sessions and audit trail."""
        return self.places or places_of_host(self.sign_in, self.audit)

    @property
    def audited(self) -> bool:
        """True if requests are written to the audit trail."""
        return bool(self.sign_in.method) or self.audit.always


def access_control(
    host: str, settings: AccessSettings, spool: Store, metrics: WebMetrics, hosts: frozenset[str] = frozenset()
) -> AccessControl:
    """Return the access control of a server, and record in the audit trail that it starts.

    Args:
        host: Address that the server listens on.
        settings: Settings of sign-in, audit trail and identity provider.
        spool: Source of the Patient IDs in the audit trail.
        metrics: WebMetrics of this process.
        hosts: Names that the server answers to; empty for any.

    Raises:
        StartError: The page would be open to the network, or the settings allow no sign-in.
    """
    refuse_open_server(host, settings.sign_in)
    auditing = _auditing(settings, spool, metrics)
    if settings.sign_in.method:
        for outcome in SignInOutcome:
            metrics.sign_ins.labels(outcome)  # an alert needs each series at zero first
    return AccessControl(sign_in_of(host, settings, AttemptRecorder(auditing, metrics), hosts), auditing)


def refuse_open_server(host: str, sign_in: SignInSettings) -> None:
    """Raise StartError where the page would be open to the network."""
    if not sign_in.method and host not in LOOPBACK:
        raise StartError(
            f"web.host {host} is reachable from the network, and sign-in is off: set sign_in.method to users (and "
            "add them with `triage user add NAME --role reader`), oidc or proxy (docs/how-to/worklist-page.md), or "
            "web.host to 127.0.0.1"
        )


def sign_in_of(host: str, settings: AccessSettings, record: SignInRecorder, hosts: frozenset[str]) -> SignIn:
    """Return the sign-in method of the settings. Connects to nothing.

    Raises StartError if the settings allow no sign-in, or only one over an unencrypted connection.
    """
    sign_in = settings.sign_in
    peers = TrustedProxies.of(sign_in.trusted_proxies)
    roles = RoleMapping(
        frozenset(sign_in.reader_roles), frozenset(sign_in.admin_roles), frozenset(sign_in.adjudicator_roles)
    )
    if settings.idle_lock_minutes and sign_in.method not in ("users", "oidc"):
        raise StartError(
            "web.idle_lock_minutes locks sessions, and there are none with sign_in.method = "
            f"{sign_in.method or 'nothing'}: set it to 0, and have the reverse proxy end its own"
        )
    if sign_in.method == "oidc":
        context = _context(host, settings, peers, record)
        local = _local_users(settings.kept_in, context) if settings.oidc.local_users else NoLocalUsers()
        return provided_users(settings.oidc, roles, hosts, context, local)
    if sign_in.method == "users":
        return _local_users(settings.kept_in, _context(host, settings, peers, record))
    if sign_in.method == "proxy":
        return ProxyUsers(
            peers,
            sign_in.user_header,
            sign_in.role_header,
            roles,
            _named_roles(sign_in),
            record,
            sign_in.sign_out_address,
        )
    return Loopback()


def _named_roles(sign_in: SignInSettings) -> dict[str, Role]:
    """Return the roles of users whom the settings name, for a proxy that gives none."""
    return {**dict.fromkeys(sign_in.adjudicators, Role.ADJUDICATOR), **dict.fromkeys(sign_in.admins, Role.ADMIN)}


def _context(host: str, access: AccessSettings, peers: TrustedProxies, record: SignInRecorder) -> SessionContext:
    settings = access.sign_in
    if host not in LOOPBACK and not (settings.plain_http or settings.trusted_proxies):
        raise StartError(
            f"on web.host {host} passwords would cross the network unencrypted: put a reverse proxy with TLS "
            "before it and enter its address in sign_in.trusted_proxies, or set sign_in.plain_http"
        )
    times = SessionTimes(settings.idle_minutes * 60, settings.longest_hours * 3600, access.idle_lock_minutes * 60)
    kept = access.kept_in
    return SessionContext(kept.sessions(times), peers, record, settings.plain_http, kept.used_states())


def _local_users(places: AccessPlaces, context: SessionContext) -> LocalUsers:
    users = places.users()
    users.check()
    if not users.all():
        logger.warning("sign-in: there is no user yet: `triage user add NAME --role admin`")
    return LocalUsers(users, context, places.throttle())


def _auditing(settings: AccessSettings, spool: Store, metrics: WebMetrics) -> Auditing:
    if not settings.audited:
        return NoAuditing()
    for outcome in ("written", "failed"):
        metrics.audit_messages.labels(outcome)  # an alert needs each series at zero first
    trail = trail_of(
        settings.kept_in.audit_sink(),
        AuditSource(settings.audit.source, "triage web"),
        lambda done: metrics.audit_messages.labels("written" if done else "failed").inc(),
    )
    trail.begin()
    return TrailAuditing(AuditRecorder(trail, spool), settings.audit.required)


_CHEAP = (SignInOutcome.THROTTLED, SignInOutcome.UNTRUSTED, SignInOutcome.INVALID, SignInOutcome.FAILED)
"""Outcomes that cost the client nothing: recorded once in five minutes, or they would fill the disk."""


@dataclass(frozen=True)
class AttemptRecorder:
    """Records attempts to sign in: in a metric, in the log if they failed, and in the audit trail."""

    auditing: Auditing
    metrics: WebMetrics
    recent: RecentEvents = field(default_factory=RecentEvents)

    def __call__(self, event: SignInEvent) -> None:
        """Record an attempt."""
        self.metrics.sign_ins.labels(event.outcome).inc()
        if event.outcome in _CHEAP:
            key = (event.address, event.outcome)
            if self.recent.contains(key):
                return
            self.recent.add(key)
        if event.outcome is not SignInOutcome.ACCEPTED:
            logger.warning("sign-in: an attempt from %s was %s", event.address or "an unknown address", event.outcome)
        self.auditing.sign_in(event)
