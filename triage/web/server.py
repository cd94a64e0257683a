"""The HTTP server process of the worklist page."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry

from triage.metrics.process import create
from triage.runtime.release import UNKNOWN, Running
from triage.runtime.sockets import listen
from triage.settings.access import AuditSettings, SignInSettings
from triage.settings.network import WebSettings
from triage.settings.oidc import OidcSettings
from triage.spool.spool import Spool
from triage.web.api import ups_rs as ups
from triage.web.api.sources import Sources
from triage.web.app import NO_AUDIT, NO_SIGN_IN, Clients, client, create_app, known_hosts
from triage.web.auth.oidc.setup import NO_OIDC
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.setup import entrance
from triage.web.http.connection_limits import Limits
from triage.web.http.middleware import host_name
from triage.web.http.serving import server_of
from triage.worklist.index import Worklist
from triage.worklist.workitem_store import Workitems

logger = logging.getLogger(__name__)


def run(
    settings: WebSettings,
    *,
    waiting_cap_s: float,
    spool: Spool,
    redis_url: str,
    redis_timeout_s: float,
    low: bool = False,
    sign_in: SignInSettings = NO_SIGN_IN,
    audit: AuditSettings = NO_AUDIT,
    oidc: OidcSettings = NO_OIDC,
    show_maps: bool = False,
    running: Running = UNKNOWN,
) -> None:
    """Serve until SIGTERM or SIGINT. ``low``: workitems may say LOW. ``show_maps``: activation maps too.

    ``running``: what status and metrics say of this process.
    Raises StartError if the port cannot be had, or anybody could come in.
    """
    registry = CollectorRegistry()
    metrics = create(registry)
    metrics.describe(running.version, running.settings)
    hosts = known_hosts(settings.host, settings.names)
    door = entrance(settings.host, sign_in, audit, spool, metrics, oidc=oidc, hosts=hosts)
    listening = listen(settings.host, settings.port)
    with client(redis_url, redis_timeout_s) as redis, listening:
        sources = Sources(spool, redis, Worklist(redis), waiting_cap_s, time.time, show_maps, running=running)
        more = ups.routes(sources, Workitems(spool, settings.ups_worklist_label, low)) if settings.ups else []
        peers = TrustedProxies.of(sign_in.trusted_proxies)
        app = create_app(
            sources,
            hosts,
            more,
            door=door,
            registry=registry,
            metrics=metrics,
            names=frozenset(host_name(each) for each in settings.names),
            clients=Clients(peers, settings.max_connections_per_address),
        )
        limits = Limits(settings.max_connections, settings.max_connections_per_address, peers.is_proxys)
        server = server_of(app, limits)
        app.state.ending = lambda: server.should_exit  # what streams ends with it, instead of holding it up
        logger.info("web: http://%s:%d, %s", settings.host, listening.getsockname()[1], running)
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


@contextmanager
def ends_quietly(server: uvicorn.Server) -> Iterator[None]:
    """Uvicorn raises the signal that stopped it once more; without a handler the process would die of it."""

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    handled = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
