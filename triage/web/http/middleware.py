"""Around every request: by what name and from what page it may come, what its answer's headers forbid, and how long it
took.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.metrics.process import Metrics
from triage.web.http.problem import problem

SECURITY_HEADERS = {
    # Nothing is loaded from anywhere, nothing runs, nobody frames it.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Accession numbers belong in no cache.
    "Cache-Control": "no-store",
}
STREAM = "/api/changes"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class SecurityHeaders:
    """Puts ``headers`` on every answer that does not bring its own; so does an application with pages of its own."""

    app: ASGIApp
    headers: Mapping[str, str] = field(default_factory=lambda: SECURITY_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    found.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


@dataclass(frozen=True)
class KnownHosts:
    """Answers only requests for the names in ``hosts`` (empty: for all).

    On loopback nobody has to sign in: without this, a web page on the reader's own machine could have its name resolve
    to 127.0.0.1 and read the worklist (DNS rebinding).
    """

    app: ASGIApp
    hosts: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.hosts and host_name(Headers(scope=scope).get("host", "")) not in self.hosts:
            answer = problem(421, f"ask for one of {', '.join(sorted(self.hosts))}, or add the name to web.names")
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class SameOrigin:
    """Refuses requests that change something and come from another site's page (CSRF).

    Browsers say where such a request comes from: in Sec-Fetch-Site, and where that is not sent (plain HTTP) in Origin.
    Programs send neither, and no browser gives them its cookies.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS") and _is_foreign(scope):
            await problem(403, "this came from another site's page and is refused")(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _is_foreign(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host", "")


@dataclass(frozen=True)
class Measured:
    """Counts and times requests by the pattern of their route, never by the path that was asked."""

    app: ASGIApp
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.http_requests.labels(route, str(status)).inc()
            if route != STREAM:  # that takes as long as somebody watches
                self.metrics.http_duration.labels(route).observe(time.perf_counter() - started)


def host_name(host: str) -> str:
    """The name in a Host header, lower-case, without port and without the brackets of an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
