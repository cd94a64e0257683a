"""The web process: the worklist over HTTP, with health and metrics on the same port."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from triage.errors import StartError
from triage.metrics.process import Metrics, create
from triage.settings.access import AuditSettings, SignInSettings
from triage.settings.load import WebSettings
from triage.spool.spool import Spool
from triage.web import pages
from triage.web.api import activation_map as maps
from triage.web.api import events as changes
from triage.web.api import patient_search as patients
from triage.web.api import status as operations
from triage.web.api import study as studies
from triage.web.api import ups_rs as ups
from triage.web.api import worklist as api
from triage.web.auth import sign_in_page
from triage.web.auth.guard import Entrance, guarded
from triage.web.auth.route_rules import RULES
from triage.web.auth.setup import entrance
from triage.web.auth.sign_in import Loopback
from triage.web.http import static
from triage.web.http.middleware import LOOPBACK, KnownHosts, Measured, SameOrigin, SecurityHeaders
from triage.web.http.problem import problem
from triage.worklist.index import Worklist
from triage.worklist.workitem_store import Workitems

logger = logging.getLogger(__name__)

_GRACE_S = 10
_CONNECTIONS = 500
_NO_SIGN_IN, _NO_AUDIT = SignInSettings(), AuditSettings()
_EVERYBODY = Entrance(Loopback())


def run(
    settings: WebSettings,
    *,
    waiting_cap_s: float,
    spool: Spool,
    redis_url: str,
    redis_timeout_s: float,
    low: bool = False,
    sign_in: SignInSettings = _NO_SIGN_IN,
    audit: AuditSettings = _NO_AUDIT,
    show_maps: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT. ``low``: workitems may say LOW. ``show_maps``: activation maps too.

    Raises StartError if the port cannot be had, or anybody could come in.
    """
    registry = CollectorRegistry()
    metrics = create(registry)
    door = entrance(settings.host, sign_in, audit, spool, metrics)
    listening = listen(settings.host, settings.port)
    with client(redis_url, redis_timeout_s) as redis, listening:
        sources = api.Sources(spool, redis, Worklist(redis), waiting_cap_s, time.time, show_maps)
        more = ups.routes(sources, Workitems(spool, settings.ups_worklist_label, low)) if settings.ups else []
        hosts = known_hosts(settings.host, settings.names)
        app = create_app(sources, hosts, more, door=door, registry=registry, metrics=metrics)
        server = uvicorn.Server(configuration(app))
        app.state.ending = lambda: server.should_exit  # what streams ends with it, instead of holding it up
        logger.info("web: http://%s:%d", settings.host, listening.getsockname()[1])
        ending = threading.Event()
        threading.Thread(target=sources.patients.fill, args=(ending,), name="patients", daemon=True).start()
        try:
            with ends_quietly(server):
                server.run(sockets=[listening])
        finally:
            ending.set()
            sources.pictures.close()
            if door.auditor is not None:
                door.auditor.trail.end()
        logger.info("web: stopped")


def create_app(
    sources: api.Sources,
    hosts: frozenset[str],
    more: Sequence[Route] = (),
    *,
    door: Entrance = _EVERYBODY,
    registry: CollectorRegistry | None = None,
    metrics: Metrics | None = None,
) -> Starlette:
    """The application; ``hosts`` are the names it may be called by, empty for any; ``more``: optional routes.

    ``door``: how people come in; by default everybody does, so serve that on loopback only. ``metrics`` are those of
    ``registry``; both are made if they are not given. Raises NoRuleError for a route that has none.
    """
    registry = registry or CollectorRegistry()
    metrics = metrics or create(registry)
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
        *_monitoring(registry, sources.redis),
        *more,
    ]
    return Starlette(
        routes=guarded(routes, RULES, door),
        middleware=[
            Middleware(SecurityHeaders, headers=static.PAGE_HEADERS),
            Middleware(Measured, metrics=metrics),
            Middleware(KnownHosts, hosts=hosts),
            Middleware(SameOrigin),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )


def configuration(app: Starlette) -> uvicorn.Config:
    """How uvicorn serves ``app``: our logging, no access log (its addresses are UIDs), no Server header."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whose word is believed is ours to say: triage/web/auth/proxies.py
        server_header=False,
        lifespan="off",
        ws="none",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
    )


def listen(host: str, port: int, remedy: str = "set TRIAGE_WEB_PORT") -> socket.socket:
    """A listening socket; StartError that says what to do if the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise StartError(
            f"web: cannot listen on {host}:{port} ({error.strerror}): end what listens there, or {remedy}"
        ) from error
    # Connections inherit it. asyncio does not set it on a socket that it did not make itself, and then an answer's body
    # waits 40 ms for the client to acknowledge its headers.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def client(redis_url: str, timeout_s: float) -> Redis:
    """A Redis client for people who wait: one new try on a broken connection, none on a silent server."""
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    return Redis.from_url(redis_url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry)


def known_hosts(host: str, names: Sequence[str] = ()) -> frozenset[str]:
    """The names a server on ``host`` may be called by: ``host``, the loopback ones and ``names``; any if others can
    reach it and no names are given.
    """
    return LOOPBACK | {each.lower() for each in (host, *names)} if names or host in LOOPBACK else frozenset()


def _monitoring(registry: CollectorRegistry, redis: Redis) -> list[Route]:
    async def alive(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    def ready(request: Request) -> Response:
        if api.redis_answers(redis):
            return PlainTextResponse("ready\n")
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


@contextmanager
def ends_quietly(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn raises the signal that stopped it once more; without a handler the process would die of it."""

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    handled = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
