"""Settings of sign-in over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from triage.setting_types import Section, network_of


def _network(text: str) -> str:
    network_of(text, "reverse proxy")
    return text


def _sign_out_address(text: str) -> str:
    if text and not (text.startswith(("https://", "http://")) or (text[0] == "/" and text[1:2] not in ("/", "\\"))):
        raise ValueError(f"{text!r} is neither a path nor an http address")
    return text


Network = Annotated[str, AfterValidator(_network)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]


class SignInSettings(Section):
    """Sign-in of people and programs over HTTP."""

    method: Literal["", "users", "proxy", "oidc"] = Field(
        "",
        description="How people sign in: users of our own (`triage user`), a reverse proxy that names them in a "
        "header, or an identity provider (`oidc`, OpenID Connect). Empty: without sign-in, and web.host must be on "
        "loopback.",
    )
    users_file: Path = Field(
        Path("users.json"),
        description="File of the local users, mode 0600; sessions lie next to it. With store.kind = postgres+s3 both "
        "are in the database, and the file is not used.",
    )
    plain_http: bool = Field(
        False,
        description="Take passwords over plain HTTP from other machines too, and send cookies so. Everyone on "
        "the network can read them then.",
    )
    idle_minutes: float = Field(30.0, gt=0, description="Minutes without a person's action until a session ends.")
    longest_hours: float = Field(12.0, gt=0, description="Hours after which a session ends in any case.")
    trusted_proxies: tuple[Network, ...] = Field(
        (),
        description="Addresses or networks (CIDR) of reverse proxies: what they say in user_header, role_header, "
        "X-Forwarded-For and X-Forwarded-Proto is believed, of no other. They must set or remove each of them.",
    )
    user_header: HeaderName = Field("X-Remote-User", description="Header in which the proxy names the user.")
    role_header: HeaderName | Literal[""] = Field(
        "", description="Header in which the proxy gives roles or groups, separated by commas. Empty: see admins."
    )
    reader_roles: tuple[str, ...] = Field(
        ("reader",), description="Values of role_header, or of oidc.role_claim, that make a reader."
    )
    adjudicator_roles: tuple[str, ...] = Field(
        ("adjudicator",),
        description="Values of role_header, or of oidc.role_claim, that make an adjudicator: a reader who also judges "
        "disagreements.",
    )
    admin_roles: tuple[str, ...] = Field(
        ("admin",), description="Values of role_header, or of oidc.role_claim, that make an admin."
    )
    admins: tuple[str, ...] = Field(
        (), description="Without role_header: who of the proxy's users are admins; all others are readers."
    )
    adjudicators: tuple[str, ...] = Field(
        (), description="Without role_header: who of the proxy's users are adjudicators."
    )
    sign_out_address: Annotated[str, AfterValidator(_sign_out_address)] = Field(
        "", description="Where the proxy ends a session; the page's button leads there. Empty: no button."
    )

    @model_validator(mode="after")
    def _a_proxy_has_an_address(self) -> Self:
        if self.method == "proxy" and not self.trusted_proxies:
            raise ValueError("method = proxy needs trusted_proxies: without it no header is believed")
        return self
