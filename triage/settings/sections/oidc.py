"""Settings of the identity provider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from triage.setting_types import Section
from triage.settings.safe_address import safe_address


def _place(text: str) -> str:
    if text and "?" in safe_address(text):
        raise ValueError("an address with a query")
    return text


Place = Annotated[str, AfterValidator(_place)]


class OidcSettings(Section):
    """OpenID provider, for sign_in.method = oidc."""

    issuer: Place = Field(
        "",
        description="Issuer of the OpenID provider, exactly as its discovery document has it: https, or http on "
        "loopback. The document is looked for below it at the first sign-in.",
    )
    client_id: str = Field("", max_length=256, description="Identifier of this service at the provider.")
    client_secret_file: Path | None = Field(
        None,
        description="File with the client's secret, one line; read at each sign-in. Empty: a public client, that has "
        "PKCE alone.",
    )
    page_address: Place = Field(
        "",
        description="Address at which people see the page, with its path. The provider has to know two addresses "
        "below it: sign-in/callback (redirect URI) and sign-in (after signing out).",
    )
    scopes: tuple[str, ...] = Field(("openid", "profile"), description="Scopes that are asked for; openid among them.")
    name_claim: str = Field(
        "preferred_username",
        min_length=1,
        description="Claim with the user's name, as page and audit trail show it. A text that names one person, and "
        "that people cannot change themselves: else take sub.",
    )
    role_claim: str = Field(
        "roles",
        min_length=1,
        description="Claim with the user's roles or groups, a text or a list of texts; a.b is b within a. What makes a "
        "reader, an adjudicator or an admin is in sign_in.reader_roles, sign_in.adjudicator_roles and "
        "sign_in.admin_roles; who has none is refused.",
    )
    local_users: bool = Field(
        False,
        description="Let the users of sign_in.users_file in, too: people when the provider does not answer, and "
        "programs by HTTP Basic.",
    )
    ca_file: Path | None = Field(
        None, description="Authorities that the provider's certificate is checked against (PEM); empty: the system's."
    )
    timeout_s: float = Field(
        10.0, gt=0, le=60, description="Seconds in which the provider has to have answered all that one step asks."
    )
    clock_skew_s: int = Field(
        60, ge=0, le=300, description="Seconds by which the provider's clock and ours may differ."
    )

    @field_validator("page_address")
    @classmethod
    def _ends_like_a_folder(cls, address: str) -> str:
        return address if not address or address.endswith("/") else f"{address}/"

    @model_validator(mode="after")
    def _asks_for_an_identity(self) -> Self:
        if "openid" not in self.scopes:
            raise ValueError("scopes needs openid: without it there is no ID token")
        return self

    @property
    def missing(self) -> list[str]:
        """The settings that are required and not set."""
        return [f"oidc.{name}" for name in ("issuer", "client_id", "page_address") if not getattr(self, name)]
