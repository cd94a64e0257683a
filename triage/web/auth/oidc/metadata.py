"""What a provider says of itself (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from triage.settings.oidc import safe_address
from triage.web.auth.oidc.errors import NotSignedInError, unreachable


@dataclass(frozen=True)
class Metadata:
    """Addresses, empty where it has none. ``basic``: how it wants the client's secret (else in the form);
    ``names_itself``: it says in its answers who it is (RFC 9207).
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
        """Whom we ask, for whoever writes the firewall's rules."""
        return sorted({urlsplit(each).netloc for each in (self.token, self.keys, self.userinfo) if each})


def address_of(issuer: str) -> str:
    """Where an issuer's document is (section 4)."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def metadata_of(document: Mapping[str, Any], issuer: str) -> Metadata:
    """Raises NotSignedInError for a document of another issuer, or one without what is needed (section 4.3)."""
    if document.get("issuer") != issuer:
        raise unreachable(f"the document at {address_of(issuer)} is another issuer's: oidc.issuer has to be the same")
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


def _needed(document: Mapping[str, Any], name: str) -> str:
    if found := _address(document, name):
        return found
    raise unreachable(f"the identity provider's document has no {name}")


def _address(document: Mapping[str, Any], name: str) -> str:
    found = document.get(name)
    try:
        return safe_address(found) if isinstance(found, str) and found else ""
    except ValueError as error:
        raise _unsafe(name, error) from error


def _unsafe(name: str, error: ValueError) -> NotSignedInError:
    return unreachable(f"the identity provider's document: {name}: {error}")
