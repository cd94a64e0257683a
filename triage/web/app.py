"""The web process: the worklist over HTTP, with health and metrics on the same port."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from triage.metrics.process import Metrics, create
from triage.settings.access import AuditSettings, SignInSettings
from triage.spool.silence import silence_text
from triage.spool.spool import Spool
from triage.web import pages
from triage.web.api import activation_map as maps
from triage.web.api import events as changes
from triage.web.api import patient_search as patients
from triage.web.api import status as operations
from triage.web.api import study as studies
from triage.web.api import worklist as api
from triage.web.api.sources import Sources
from triage.web.auth import sign_in_page
from triage.web.auth.guard import Entrance, guarded
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.route_rules import RULES
from triage.web.auth.sign_in import Loopback
from triage.web.http import static
from triage.web.http.middleware import (
    LOOPBACK,
    KnownHosts,
    RequestMetrics,
    RequestsOfOneClient,
    SameOrigin,
    SecurityHeaders,
    host_name,
)
from triage.web.http.problem import gone, problem

logger = logging.getLogger(__name__)

NO_SIGN_IN, NO_AUDIT = SignInSettings(), AuditSettings()
_EVERYBODY = Entrance(Loopback())


@dataclass(frozen=True)
class Clients:
    """Whose word is believed on where a request comes from, and how many of one client are answered at once."""

    peers: TrustedProxies = field(default_factory=TrustedProxies)
    requests_at_most: int = 100


def create_app(
    sources: Sources,
    hosts: frozenset[str],
    more: Sequence[Route] = (),
    *,
    door: Entrance = _EVERYBODY,
    registry: CollectorRegistry | None = None,
    metrics: Metrics | None = None,
    names: frozenset[str] = frozenset(),
    clients: Clients | None = None,
) -> Starlette:
    """The application; ``hosts`` are the names it may be called by, empty for any; ``more``: optional routes.

    ``door``: how people come in; by default everybody does, so serve that on loopback only. ``metrics`` are those of
    ``registry``; both are made if they are not given. ``names`` are those in people's addresses, where a reverse proxy
    asks by another. Raises NoRuleError for a route that has none.
    """
    registry = registry or CollectorRegistry()
    metrics = metrics or create(registry)
    clients = clients or Clients()
    trail = door.auditor.trail if door.auditor is not None else None
    routes = [
        *pages.routes(),
        *api.routes(sources),
        *studies.routes(sources),
        maps.route(sources),
        *patients.routes(sources),
        *operations.routes(sources),
        changes.route(changes.Changes(sources.worklist)),
        *sign_in_page.routes(door.sign_in, trail),
        *_monitoring(registry, sources.redis, sources.spool),
        *more,
    ]
    app = Starlette(
        routes=guarded(routes, RULES, door),
        middleware=[
            Middleware(SecurityHeaders, headers=static.PAGE_HEADERS),
            Middleware(RequestMetrics, metrics=metrics),
            Middleware(KnownHosts, hosts=hosts),
            Middleware(RequestsOfOneClient, address_of=clients.peers.address, at_most=clients.requests_at_most),
            Middleware(SameOrigin, names=names),
        ],
        exception_handlers={HTTPException: _http_error, ClientDisconnect: gone, Exception: _internal_error},
    )
    app.router.redirect_slashes = False  # its redirects name the host as we were asked, which a proxy may have changed
    return app


def client(redis_url: str, timeout_s: float) -> Redis:
    """A Redis client for people who wait: one new try on a broken connection, none on a silent server."""
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    return Redis.from_url(redis_url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry)


def known_hosts(host: str, names: Sequence[str] = ()) -> frozenset[str]:
    """The names a server on ``host`` may be called by: ``host``, the loopback ones and ``names``; any if others can
    reach it and no names are given.
    """
    return LOOPBACK | {host_name(each) for each in (host, *names)} if names or host in LOOPBACK else frozenset()


def _monitoring(registry: CollectorRegistry, redis: Redis, spool: Spool) -> list[Route]:
    async def alive(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    def ready(request: Request) -> Response:
        if api.redis_answers(redis):
            return PlainTextResponse("; ".join(filter(None, ("ready", silence_text(spool)))) + "\n")
        return PlainTextResponse("Redis does not answer\n", status_code=503)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    handlers: dict[str, Callable[..., object]] = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}
    return [Route(path, handler) for path, handler in handlers.items()]


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    answer = problem(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer


def _internal_error(request: Request, error: Exception) -> JSONResponse:
    # Starlette raises the error again behind this answer, and uvicorn logs it.
    # That is outside our middleware, so the headers are put on here.
    answer = problem(500, "internal error: see the log of the web process")
    answer.headers.update(static.PAGE_HEADERS)
    return answer
