"""Around every request: by what name and from what page it may come, how many of one client, what its answer's headers
forbid, and how long it took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.metrics.process import Metrics
from triage.web.http.connection_limits import network_of
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
    Programs send neither, and no browser gives them its cookies. The name in Origin has to be the one that we were
    asked by, or one of ``names``, by which people know us where a reverse proxy asks by another. Ports are not
    compared: proxies drop them from Host.
    """

    app: ASGIApp
    names: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS") and self._is_foreign(scope):
            answer = problem(
                403,
                "this came from another site's page and is refused; if that page is this one, add the name in its "
                "address to web.names, or let the reverse proxy pass the Host header on",
            )
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_foreign(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        if site := headers.get("sec-fetch-site"):
            return site not in ("same-origin", "none")
        origin = headers.get("origin")
        if origin is None:
            return False
        name = host_name(origin.partition("://")[2])
        return not name or name not in {host_name(headers.get("host", "")), *self.names}


@dataclass(frozen=True)
class RequestsOfOneClient:
    """Refuses requests of a client beyond ``at_most`` at once; whose they are is what ``address_of`` says.

    Connections are counted where they come from. Behind a reverse proxy all come from there, and its clients are told
    apart here.
    """

    app: ASGIApp
    address_of: Callable[[Scope], str]
    at_most: int
    _now: dict[str, int] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        client = network_of(self.address_of(scope))
        if self._now.get(client, 0) >= self.at_most:
            answer = problem(429, f"more than {self.at_most} requests at once from one address: try again")
            answer.headers["Retry-After"] = "1"
            await answer(scope, receive, send)
            return
        self._now[client] = self._now.get(client, 0) + 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._now[client] -= 1
            if not self._now[client]:
                del self._now[client]


@dataclass(frozen=True)
class RequestMetrics:
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
    if host.count(":") > 1:  # an IPv6 address without brackets, as people write it in settings
        return host.lower()
    return host.partition(":")[0].lower()
