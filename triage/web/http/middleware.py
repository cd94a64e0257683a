"""Middleware of every request: host name, origin, limit per client, response headers and metrics."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.metrics.web import WebMetrics
from triage.web.http.connection_limits import network_of
from triage.web.http.problem import problem

SECURITY_HEADERS = {
    # Nothing is loaded, nothing runs, no page may frame it.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # No cache may hold accession numbers.
    "Cache-Control": "no-store",
}
STREAM = "/api/changes"
_MONITORING = frozenset({"/metrics", "/healthz", "/readyz"})
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class SecurityHeaders:
    """Adds ``headers`` to each response that does not set them itself."""

    app: ASGIApp
    headers: Mapping[str, str] = field(default_factory=lambda: SECURITY_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request and add the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    found.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


@dataclass(frozen=True)
class KnownHosts:
    """Admits only requests to the host names in ``hosts`` (empty: all).

    On loopback there is no sign-in: without this check, a web page could have its name resolve to 127.0.0.1 in the
    browser of a reader and read the worklist (DNS rebinding).
    """

    app: ASGIApp
    hosts: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it with 421."""
        if scope["type"] == "http" and self.hosts and not self._answers(scope):
            response = problem(
                421, f"use one of the names {', '.join(sorted(self.hosts))}, or add the name to web.names"
            )
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _answers(self, scope: Scope) -> bool:
        host = host_name(Headers(scope=scope).get("host", ""))
        # Prometheus asks a container by its address, whatever names people know; rebinding is of a name.
        return host in self.hosts or (scope["path"] in _MONITORING and _is_address(host))


@dataclass(frozen=True)
class SameOrigin:
    """Refuses requests from the pages of other sites that change something (CSRF).

    Browsers name the origin of such a request in Sec-Fetch-Site, or in Origin over plain HTTP. Programs send neither,
    and have no cookies of a browser. The host name in Origin must be that of the request, or one of ``names`` where a
    reverse proxy requests under another name. Ports are not compared: proxies drop them from Host.
    """

    app: ASGIApp
    names: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it with 403."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS") and self._is_foreign(scope):
            response = problem(
                403,
                "this request came from the page of another site and is refused; if it is this page, add the name in "
                "its address to web.names, or have the reverse proxy pass on the Host header",
            )
            await response(scope, receive, send)
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
    """Refuses requests of a client that already has ``at_most`` in progress.

    The limits on connections cannot tell the clients of a reverse proxy apart. ``address_of`` can, and is used here.
    """

    app: ASGIApp
    address_of: Callable[[Scope], str]
    at_most: int
    _now: dict[str, int] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it with 429."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        client = network_of(self.address_of(scope))
        if self._now.get(client, 0) >= self.at_most:
            error = f"more than {self.at_most} requests at once from one address: try again"
            response = problem(429, error, {"Retry-After": "1"})
            await response(scope, receive, send)
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
    """Counts and times requests by the pattern of their route, never by the requested path."""

    app: ASGIApp
    metrics: WebMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request and measure it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_record)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.http_requests.labels(route, str(status)).inc()
            if route != STREAM:  # a stream lasts as long as its page is open
                self.metrics.http_duration.labels(route).observe(time.perf_counter() - started)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_name(host: str) -> str:
    """Return the name in a Host header: lower case, without port and IPv6 brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    if host.count(":") > 1:  # an IPv6 address without brackets, as settings may hold it
        return host.lower()
    return host.partition(":")[0].lower()
