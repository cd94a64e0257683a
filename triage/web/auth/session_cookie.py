"""The cookie that has a session's token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope


@dataclass(frozen=True)
class Cookie:
    """``base`` is its name, ``same_site`` whether it comes along where another site's page leads here (lax)."""

    base: str
    plain_http: bool
    same_site: Literal["strict", "lax"] = "strict"

    @property
    def name(self) -> str:
        """Browsers take one of this prefix only from a secure page, and for that alone (RFC 6265bis)."""
        return self.base if self.plain_http else f"__Host-{self.base}"

    def of(self, scope: Scope) -> str:
        """What a request has; empty for none."""
        return cookie_parser(Headers(scope=scope).get("cookie", "")).get(self.name, "")

    def put(self, answer: Response, value: str, max_age_s: int | None = None) -> None:
        """Have the browser keep it: as long as it runs, or ``max_age_s``; 0 removes it."""
        answer.set_cookie(
            self.name, value, max_age_s, path="/", secure=not self.plain_http, httponly=True, samesite=self.same_site
        )


def session_cookie(plain_http: bool) -> Cookie:
    """The session's: no page of another site's leads here with it."""
    return Cookie("triage", plain_http)
