"""Users of an identity provider from the settings. The provider is not contacted yet."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from triage.dicom.tls import ClientTLS
from triage.errors import StartError
from triage.runtime.extras import what_to_install
from triage.settings.sections.oidc import OidcSettings
from triage.web.auth.oidc.claims import ClaimMapping
from triage.web.auth.oidc.provider_http import ProviderHttp
from triage.web.auth.oidc.users import ProvidedUsers
from triage.web.auth.role_mapping import RoleMapping
from triage.web.auth.session_context import SessionContext
from triage.web.auth.sign_in import LocalUsers, NoLocalUsers
from triage.web.http.middleware import host_name

if TYPE_CHECKING:  # it needs the extra
    from triage.web.auth.oidc.provider import Provider


def provided_users(
    oidc: OidcSettings,
    roles: RoleMapping,
    hosts: frozenset[str],
    context: SessionContext,
    local: LocalUsers | NoLocalUsers,
) -> ProvidedUsers:
    """Return the users of the provider that the settings name.

    Args:
        oidc: Settings of the provider.
        roles: Meaning of the provider's roles here.
        hosts: Names that the server answers to; empty for any.
        context: Sessions and trusted proxies.
        local: Local users who may sign in too.

    Raises:
        StartError: The settings allow no sign-in, or the extra `oidc` is not installed.
    """
    name = host_name(urlsplit(oidc.page_address).netloc)
    if hosts and name not in hosts:
        raise StartError(
            f"oidc.page_address leads people to {name}, which is no name of this server: add it to web.names"
        )
    claims = ClaimMapping(oidc.name_claim, oidc.role_claim, roles)
    stamp = claims.stamp(oidc.issuer, oidc.client_id)
    provider = _provider(oidc, claims, asks_again=context.sessions.lock_s > 0)
    return ProvidedUsers(provider, stamp, context, oidc.timeout_s, local)


def _provider(oidc: OidcSettings, claims: ClaimMapping, *, asks_again: bool = False) -> Provider:
    try:
        from triage.web.auth.oidc.provider import OidcClient, Provider
    except ModuleNotFoundError as error:
        raise StartError(what_to_install(error, "sign_in.method = oidc") or str(error)) from error
    client = OidcClient(
        oidc.issuer,
        oidc.client_id,
        oidc.page_address,
        oidc.client_secret_file,
        oidc.scopes,
        oidc.clock_skew_s,
        asks_again,
    )
    try:
        client.secret()
        if oidc.ca_file:
            ClientTLS("", oidc.ca_file).context()
    except (OSError, ValueError) as error:
        raise StartError(f"oidc.client_secret_file, oidc.ca_file: {error}") from error
    return Provider(client, claims, ProviderHttp(oidc.ca_file))
