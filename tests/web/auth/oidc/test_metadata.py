"""Metadata of a provider, and the parts that are not accepted."""

from __future__ import annotations

from typing import Any

import pytest

from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem
from triage.web.auth.oidc.metadata import address_of, metadata_of

ISSUER = "https://id.hospital.example/realms/house"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize?tenant=house",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": "https://keys.hospital.example/keys",
}


def test_a_document_names_the_addresses():
    found = metadata_of({**DOCUMENT, "end_session_endpoint": "", "userinfo_endpoint": None}, ISSUER)
    assert (found.end_session, found.userinfo, found.basic, found.names_itself) == ("", "", True, False)
    assert found.hosts == ["id.hospital.example", "keys.hospital.example"]
    assert address_of(f"{ISSUER}/") == address_of(ISSUER) == f"{ISSUER}/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://id.hospital.example/authorize"},
        {"authorization_endpoint": "https://id.hospital.example/#fragment"},
        {"token_endpoint": "http://192.0.2.1/token"},
        {"token_endpoint": "https://id.hospital.example:70000/"},
        {"token_endpoint": "https://id.hospital.example:x/"},
        {"token_endpoint": "https://[id.hospital.example/"},
        {"token_endpoint": "https:///token"},
        {"token_endpoint": ["https://id.hospital.example"]},
        {"jwks_uri": "file:///etc/passwd"},
        {"userinfo_endpoint": "https://name:pa55@id.hospital.example/"},
        {"end_session_endpoint": "https://id.hospital.example/\r\nSet-Cookie: a=b"},
        {"end_session_endpoint": "https://id.hospital.ex\u00e4mple/"},
    ],
)
def test_a_document_that_leads_astray_is_not_followed(document: dict[str, Any]):
    with pytest.raises(NotSignedInError) as refused:
        metadata_of({**DOCUMENT, **document}, ISSUER)
    assert refused.value.problem is SignInProblem.UNREACHABLE
    assert "pa55" not in str(refused.value)
