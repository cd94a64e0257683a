"""The server process of the worklist page: start, loop, stop."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from triage.adjudication.rules import AdjudicationRules
from triage.errors import cause
from triage.model.card_library import CardLibrary
from triage.runtime.lasting_thread import lasting_thread, unless
from triage.runtime.release import UNKNOWN, Running
from triage.runtime.sockets import listen
from triage.settings.sections.web import WebSettings
from triage.spool.host_clock import HostClock
from triage.spool.store import Store
from triage.web.api import ups_rs
from triage.web.api.site_links import site_links
from triage.web.api.sources import Sources
from triage.web.app import Monitoring, RequestPolicy, client, create_app, known_hosts
from triage.web.auth.guard import AccessControl
from triage.web.auth.proxies import TrustedProxies
from triage.web.auth.setup import AccessSettings, access_control
from triage.web.http.connection_limits import Limits
from triage.web.http.middleware import host_name
from triage.web.http.serving import BoundedServer, server_of
from triage.worklist.opening import worklist_of
from triage.worklist.tag_visibility import note_beginning
from triage.worklist.workitem_store import Workitems

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RedisAddress:
    """URL of Redis, and the time limit of a request in seconds."""

    url: str
    timeout_s: float


@dataclass(frozen=True)
class ListOptions:
    """``waiting_cap_s``: limit of the waiting time in seconds, 0 for none; ``low``: workitems may have priority LOW.

    ``paging``: the rota is paged about studies that no reader opens. ``cards``: those of the models.
    ``adjudication``: rules of the page of cases.
    """

    waiting_cap_s: float = 0.0
    low: bool = False
    paging: bool = False
    cards: CardLibrary = field(default_factory=CardLibrary)
    adjudication: AdjudicationRules = field(default_factory=AdjudicationRules)


@dataclass(frozen=True)
class Lifetime:
    """Version and settings of a process, and the seconds for which it goes on when it is told to stop."""

    running: Running = UNKNOWN
    drain_s: float = 0.0


ENDS_AT_ONCE = Lifetime()


@dataclass(frozen=True)
class WebProcess:
    """A server with the resources that end with it."""

    server: BoundedServer
    listening: socket.socket
    sources: Sources
    access: AccessControl
    clock: HostClock
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to read the patients of the listed studies, to record what is shown, and to look at the clock."""
        try:
            note_beginning(self.sources.spool, time.time())
        except OSError as error:  # later figures say "unknown" where they could say "no"
            logger.error("web: it cannot be noted from when on looks are recorded: %s", cause(error))
        followers = {
            "patients": self.sources.query.follow,
            "other studies": self.sources.patients.follow,
            "host clock": self.clock.follow,
        }
        for name, follow in followers.items():
            lasting_thread(name, partial(follow, self.stopping), unless(self.stopping)).start()

    def loop(self) -> None:
        """Serve requests until SIGTERM or SIGINT."""
        with stop_on_signals(self.server):
            self.server.run(sockets=[self.listening])

    def stop(self) -> None:
        """End the threads and the child process, and record the end in the audit trail."""
        self.stopping.set()
        self.sources.pictures.close()
        self.access.auditing.end()


def run(
    settings: WebSettings,
    spool: Store,
    redis: RedisAddress,
    options: ListOptions,
    access: AccessSettings,
    lifetime: Lifetime = ENDS_AT_ONCE,
) -> None:
    """Serve the worklist until SIGTERM or SIGINT.

    Args:
        settings: Settings of the server.
        spool: The spool.
        redis: Address of Redis.
        options: Options of the list.
        access: Settings of sign-in and audit trail.
        lifetime: Version and settings of this process, for status and metrics, and its end.

    Raises:
        StartError: The port is not available, or the page would be open to the network.
    """
    monitoring = Monitoring.new()
    running = lifetime.running
    monitoring.metrics.describe(running.version, running.settings)
    hosts = known_hosts(settings.host, settings.names)
    control = access_control(settings.host, access, spool, monitoring.metrics, hosts)
    listening = listen(settings.host, settings.port)
    with client(redis.url, redis.timeout_s) as connection, listening:
        sources = Sources(
            spool,
            connection,
            worklist_of(spool, connection),
            options.waiting_cap_s,
            time.time,
            maps=settings.activation_map,
            running=running,
            links=site_links(settings),
            paging=options.paging,
            patient_names=settings.patient_names,
            workitems=Workitems(spool, settings.ups_worklist_label, options.low) if settings.ups else None,
            cards=options.cards,
            adjudication=options.adjudication,
            language=settings.language,
        )
        peers = TrustedProxies.of(access.sign_in.trusted_proxies)
        server = _server(settings, sources, peers, control, monitoring, lifetime.drain_s)
        logger.info("web: http://%s:%d, %s", settings.host, listening.getsockname()[1], running)
        process = WebProcess(server, listening, sources, control, HostClock(spool, monitoring.metrics.clock_offset.set))
        process.start()
        try:
            process.loop()
        finally:
            process.stop()
        logger.info("web: stopped")


def _server(
    settings: WebSettings,
    sources: Sources,
    peers: TrustedProxies,
    access: AccessControl,
    monitoring: Monitoring,
    drain_s: float,
) -> BoundedServer:
    origins = frozenset(host_name(each) for each in settings.names)
    hosts = known_hosts(settings.host, settings.names)
    policy = RequestPolicy(hosts, origins, peers, settings.max_connections_per_address)
    more = ups_rs.routes(sources, sources.workitems) if sources.workitems else []
    app = create_app(sources, policy, more, access=access, monitoring=monitoring)
    limits = Limits(settings.max_connections, settings.max_connections_per_address, peers.is_proxy_address)
    server = server_of(app, limits, drain_s=drain_s)
    app.state.draining = lambda: server.is_draining
    app.state.ending = lambda: server.should_exit  # streams end with the server instead of delaying its end
    return server


@contextmanager
def stop_on_signals(server: BoundedServer) -> Iterator[None]:
    """Stop ``server`` on SIGTERM or SIGINT without ending the process.

    uvicorn raises the signal that stopped it once more, which would end a process without a handler.
    """

    def stop(number: int, frame: object) -> None:
        server.stop()

    handled = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
