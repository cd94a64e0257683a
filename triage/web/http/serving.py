"""An application served on a port that strangers can reach: bounded in connections, and in time."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from triage.web.http.bounded_protocol import BoundedProtocol, Deadlines
from triage.web.http.connection_limits import Connections, Limits

logger = logging.getLogger(__name__)

_GRACE_S = 10
_PAUSE_S = 0.1


def server_of(app: ASGIApp, limits: Limits | None = None, deadlines: Deadlines | None = None) -> BoundedServer:
    """A server of ``app``: our logging, no access log (its addresses are UIDs), no Server header."""
    connections = Connections(limits or Limits())
    protocol: Any = partial(BoundedProtocol, connections=connections, deadlines=deadlines or Deadlines())
    config = uvicorn.Config(
        app,
        http=protocol,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whose word is believed is ours to say: triage/web/auth/proxies.py
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
    )
    return BoundedServer(config, connections)


class BoundedServer(uvicorn.Server):
    """uvicorn's, with a loop of our own that accepts.

    asyncio accepts as many connections at once as the backlog holds, and writes a traceback for each that it has no
    descriptor for; this takes one after the other, and makes room first.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._held = connections
        self._accepting: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept at ``sockets``."""
        asyncio.get_running_loop().set_exception_handler(_unhandled)
        await super().startup(sockets=[])
        self._accepting = [asyncio.create_task(self._accept_at(port)) for port in sockets or ()]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, and let what was asked be answered."""
        for each in self._accepting:
            each.cancel()
        await super().shutdown(sockets)

    async def _accept_at(self, port: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        port.setblocking(False)
        while True:
            try:
                connection, _ = await loop.sock_accept(port)
            except OSError as error:  # out of descriptors, or the other end is gone already
                made = self._held.make_room()
                logger.warning("accept: %s%s", error.strerror, "; an idle connection is closed" if made else "")
                await asyncio.sleep(_PAUSE_S)
                continue
            try:
                await loop.connect_accepted_socket(self._protocol, connection)
            except OSError:  # the other end is gone meanwhile
                with suppress(OSError):
                    connection.close()

    def _protocol(self) -> asyncio.Protocol:
        made = self.config.http_protocol_class
        protocol: asyncio.Protocol = made(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the event loop could hand to nobody. A connection that broke is no news."""
    error = context.get("exception")
    if isinstance(error, ConnectionError):
        logger.debug("%s (%s)", context["message"], type(error).__name__)
    else:
        logger.error("%s", context["message"], exc_info=error)
