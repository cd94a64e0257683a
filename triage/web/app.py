"""The web application: the worklist over HTTP, with health and metrics on the same port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from triage.metrics.web import WebMetrics
from triage.queue.connection import connect
from triage.spool.silence import silence_text
from triage.web import pages
from triage.web.api import (
    activation_map,
    adjudication,
    attention,
    claims,
    contacts,
    disagreements,
    events,
    model_cards,
    patient,
    patient_search,
    preferences,
    presence,
    reading,
    requeue,
    shown,
    status,
    study,
    study_list,
    ties,
    worklist,
)
from triage.web.api.sources import Sources
from triage.web.auth import sign_in_page
from triage.web.auth.guard import AccessControl, guarded
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
from triage.web.http.problem import exception_handlers

_EVERYBODY = AccessControl(Loopback())


@dataclass(frozen=True)
class RequestPolicy:
    """Requests that the application admits.

    ``hosts`` are the names in Host, empty for any. ``origins`` are names in Origin besides that in Host, for a reverse
    proxy that requests under another name. ``peers`` are trusted on the address of a client, which may have
    ``requests_at_most`` in progress.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    peers: TrustedProxies = field(default_factory=TrustedProxies)
    requests_at_most: int = 100


@dataclass(frozen=True)
class Monitoring:
    """The metrics of this process, and the registry that /metrics exposes."""

    registry: CollectorRegistry
    metrics: WebMetrics

    @classmethod
    def new(cls) -> Self:
        """Create the metrics in a registry of their own."""
        registry = CollectorRegistry()
        return cls(registry, WebMetrics(registry))


def create_app(
    sources: Sources,
    policy: RequestPolicy,
    more: Sequence[Route] = (),
    *,
    access: AccessControl = _EVERYBODY,
    monitoring: Monitoring | None = None,
) -> Starlette:
    """Create the application.

    Args:
        sources: Sources of the API.
        policy: Requests that are admitted.
        more: Optional routes.
        access: Access control. The default admits everybody: serve that on loopback only.
        monitoring: WebMetrics; a new set by default.

    Raises:
        NoRuleError: A route has no access rule.
    """
    monitoring = monitoring or Monitoring.new()
    fixed = [*pages.routes(sources.language), *_api_routes(sources)]
    fixed += sign_in_page.routes(access.sign_in, access.auditing, sources.language)
    routes = [*fixed, *_monitoring_routes(monitoring.registry, sources), *more]
    app = Starlette(
        routes=guarded(routes, RULES, access),
        middleware=[
            Middleware(SecurityHeaders, headers=static.PAGE_HEADERS),
            Middleware(RequestMetrics, metrics=monitoring.metrics),
            Middleware(KnownHosts, hosts=policy.hosts),
            Middleware(RequestsOfOneClient, address_of=policy.peers.address, at_most=policy.requests_at_most),
            Middleware(SameOrigin, names=policy.origins),
        ],
        exception_handlers=exception_handlers("the web process", static.PAGE_HEADERS),
    )
    app.state.draining = lambda: False
    app.router.redirect_slashes = False  # a redirect holds the host name of the request, which a proxy may have changed
    return app


def client(redis_url: str, timeout_s: float) -> Redis:
    """Return a Redis client for requests: one retry on a broken connection, none on a server without response."""
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    return connect(redis_url, timeout_s, retry)


def known_hosts(host: str, names: Sequence[str] = ()) -> frozenset[str]:
    """Return the names that a server on ``host`` answers to: ``host``, those of loopback, and ``names``.

    The set is empty (any name) if other machines can reach the server and no names are given.
    """
    return LOOPBACK | {host_name(each) for each in (host, *names)} if names or host in LOOPBACK else frozenset()


def _api_routes(sources: Sources) -> list[Route]:
    return [
        *worklist.routes(sources),
        *study.routes(sources),
        *reading.routes(sources),
        *claims.routes(sources),
        *presence.routes(sources),
        *shown.routes(sources),
        activation_map.route(sources),
        patient.route(sources),
        model_cards.route(sources),
        *patient_search.routes(sources),
        *study_list.routes(sources),
        *preferences.routes(sources),
        *requeue.routes(sources),
        *status.routes(sources),
        *attention.routes(sources),
        *contacts.routes(sources),
        *disagreements.routes(sources),
        *adjudication.routes(sources),
        *ties.routes(sources),
        events.route(events.WorklistChanges(sources)),
    ]


def _monitoring_routes(registry: CollectorRegistry, sources: Sources) -> list[Route]:
    async def alive(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    def ready(request: Request) -> Response:
        if request.app.state.draining():
            return PlainTextResponse("stopping: new requests are for other hosts\n", status_code=503)
        if why := sources.worklist.why_away():
            return PlainTextResponse(f"{why}\n", status_code=503)
        return PlainTextResponse("; ".join(filter(None, ("ready", silence_text(sources.spool)))) + "\n")

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    handlers: dict[str, Callable[..., object]] = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}
    return [Route(path, handler) for path, handler in handlers.items()]
