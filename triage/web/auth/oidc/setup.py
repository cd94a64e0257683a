"""From the settings to people who sign in at an identity provider. The provider is asked nothing yet."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from triage.dicom.tls import ClientTLS
from triage.errors import StartError
from triage.runtime.extras import what_to_install
from triage.settings.access import SignInSettings
from triage.settings.oidc import OidcSettings
from triage.web.auth.oidc.claims import ClaimNames
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.oidc.wire import Wire
from triage.web.auth.password_check import Note
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.sessions import Sessions
from triage.web.auth.sign_in import LocalUsers
from triage.web.http.middleware import host_name

if TYPE_CHECKING:  # it needs the extra
    from triage.web.auth.oidc.provider import Provider

NO_OIDC = OidcSettings()


def provided_users(
    settings: SignInSettings, oidc: OidcSettings, hosts: frozenset[str], peers: TrustedProxies, sessions: Sessions,
    note: Note, local: LocalUsers | None,
) -> ProvidedUsers:  # fmt: skip
    """Raises StartError for settings with which nobody could sign in, and where the extra is not installed.

    ``hosts``: the names by which we are called, empty for any.
    """
    name = host_name(urlsplit(oidc.page_address).netloc)
    if hosts and name not in hosts:
        raise StartError(f"oidc.page_address leads people to {name}, by which we do not answer: add it to web.names")
    reading = ClaimNames(
        oidc.name_claim, oidc.role_claim, frozenset(settings.reader_roles), frozenset(settings.admin_roles)
    )
    stamp = reading.stamp(oidc.issuer, oidc.client_id)
    provider = _provider(oidc, reading)
    return ProvidedUsers(provider, stamp, sessions, peers, note, oidc.timeout_s, local, settings.plain_http)


def _provider(oidc: OidcSettings, reading: ClaimNames) -> Provider:
    try:
        from triage.web.auth.oidc.provider import Client, Provider
    except ModuleNotFoundError as error:
        raise StartError(what_to_install(error, "sign_in.method = oidc") or str(error)) from error
    client = Client(
        oidc.issuer, oidc.client_id, oidc.page_address, oidc.client_secret_file, oidc.scopes, oidc.clock_skew_s
    )
    try:
        client.secret()
        if oidc.ca_file:
            ClientTLS("", oidc.ca_file).context()
    except (OSError, ValueError) as error:
        raise StartError(f"oidc.client_secret_file, oidc.ca_file: {error}") from error
    return Provider(client, reading, Wire(oidc.ca_file))
