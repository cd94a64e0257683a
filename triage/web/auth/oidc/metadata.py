"""Metadata of a provider (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from triage.settings.safe_address import safe_address
from triage.web.auth.oidc.errors import NotSignedInError, unreachable


@dataclass(frozen=True)
class Metadata:
    """Endpoints of a provider, empty where it has none.

    ``basic``: it takes the client secret by HTTP Basic, else in the form. ``names_itself``: its responses name the
    issuer
    (RFC 9207).
    """

    authorization: str
    token: str
    keys: str
    userinfo: str = ""
    end_session: str = ""
    basic: bool = True
    names_itself: bool = False

    @property
    def hosts(self) -> list[str]:
        """Hosts that this service connects to, for the rules of a firewall."""
        return sorted({urlsplit(each).netloc for each in (self.token, self.keys, self.userinfo) if each})


def address_of(issuer: str) -> str:
    """Return the address of an issuer's metadata (section 4)."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def metadata_of(document: Mapping[str, object], issuer: str) -> Metadata:
    """Parse metadata. Raises NotSignedInError for another issuer or a missing endpoint (section 4.3)."""
    if document.get("issuer") != issuer:
        raise unreachable(f"the document at {address_of(issuer)} is of another issuer: oidc.issuer must be the same")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        _needed(document, "authorization_endpoint"),
        _needed(document, "token_endpoint"),
        _needed(document, "jwks_uri"),
        _address(document, "userinfo_endpoint"),
        _address(document, "end_session_endpoint"),
        basic=not isinstance(methods, list) or "client_secret_basic" in methods or "client_secret_post" not in methods,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _needed(document: Mapping[str, object], name: str) -> str:
    if found := _address(document, name):
        return found
    raise unreachable(f"the metadata of the identity provider has no {name}")


def _address(document: Mapping[str, object], name: str) -> str:
    found = document.get(name)
    try:
        return safe_address(found) if isinstance(found, str) and found else ""
    except ValueError as error:
        raise _unsafe(name, error) from error


def _unsafe(name: str, error: ValueError) -> NotSignedInError:
    return unreachable(f"the metadata of the identity provider: {name}: {error}")
