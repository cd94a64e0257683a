"""The cookie that holds the token of a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope


@dataclass(frozen=True)
class Cookie:
    """A cookie. ``same_site`` lax: browsers also send it when a link on another site leads here."""

    base: str
    plain_http: bool
    same_site: Literal["strict", "lax"] = "strict"

    @property
    def name(self) -> str:
        """Name with the prefix __Host-, which browsers accept from a secure page only (RFC 6265bis)."""
        return self.base if self.plain_http else f"__Host-{self.base}"

    def of(self, scope: Scope) -> str:
        """Return the value in a request; empty for none."""
        return cookie_parser(Headers(scope=scope).get("cookie", "")).get(self.name, "")

    def put(self, response: Response, value: str, max_age_s: int | None = None) -> None:
        """Set the cookie: until the browser ends, or for ``max_age_s`` seconds; 0 removes it."""
        response.set_cookie(
            self.name, value, max_age_s, path="/", secure=not self.plain_http, httponly=True, samesite=self.same_site
        )


def session_cookie(plain_http: bool) -> Cookie:
    """Return the cookie of a session, which browsers do not send when another site links here."""
    return Cookie("triage", plain_http)
