"""HTTP server for ports that strangers can reach: connections and times are limited."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from triage.errors import cause
from triage.web.http.bounded_protocol import BoundedProtocol, Deadlines
from triage.web.http.connection_limits import Connections, Limits

logger = logging.getLogger(__name__)

_GRACE_S = 10
_PAUSE_S = 0.1
_TICK_S = 1.0  # of the header Date, while a connection is open


def server_of(
    app: ASGIApp, limits: Limits | None = None, deadlines: Deadlines | None = None, *, drain_s: float = 0.0
) -> BoundedServer:
    """Return a server of ``app``: our logging, no access log (its paths hold UIDs), no Server header.

    ``drain_s``: seconds for which it still accepts connections after ``stop``.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # which proxies are trusted is decided in triage/web/auth/proxies.py
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
    )
    return BoundedServer(config, Connections(limits or Limits()), deadlines or Deadlines(), drain_s)


class BoundedServer(uvicorn.Server):
    """The server of uvicorn with its own loop that accepts connections.

    asyncio accepts as many connections at once as the backlog holds, and logs a traceback for each without a
    descriptor. This loop accepts one at a time, and makes room first. And uvicorn looks ten times a second whether it
    should end; this server is told, and sleeps while no connection is open.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _exits = False
    is_draining = False
    """True from ``stop`` on: each response is the last one of its connection."""

    def __init__(
        self, config: uvicorn.Config, connections: Connections, deadlines: Deadlines, drain_s: float = 0.0
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self._deadlines = deadlines
        self._drain_s = drain_s
        self._accepting: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()

    @property
    def should_exit(self) -> bool:
        """True if the server has to end; may be set from any thread and from the handler of a signal."""
        return self._exits

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._exits = value
        if value and self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._wake.set)

    def stop(self) -> None:
        """End when the time of the drain is over. Called by the handler of a signal; a second call changes nothing."""
        if self.is_draining:
            return
        self.is_draining = True
        if self._loop is None or not self._drain_s:
            self.should_exit = True
            return
        self._loop.call_soon_threadsafe(self._drain)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at a signal, in the place of uvicorn's own handler, which would end at once."""
        logger.info("%s: stopping", signal.Signals(sig).name)
        self._captured_signals.append(sig)
        self.stop()

    def _drain(self) -> None:
        for each in self.server_state.connections:
            if isinstance(each, BoundedProtocol):
                each.close_after_response()
        asyncio.get_running_loop().call_later(self._drain_s, setattr, self, "should_exit", True)

    async def main_loop(self) -> None:
        """Wait for the end, and renew the header Date while a connection is open."""
        while not await self.on_tick(0):
            self._wake.clear()
            if self._exits:  # set in between
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _TICK_S if self.server_state.connections else None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections at ``sockets``."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_unhandled)
        await super().startup(sockets=[])
        self._accepting = [asyncio.create_task(self._accept_at(port)) for port in sockets or ()]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, but those that the kernel has, and finish the requests in progress."""
        for each in self._accepting:
            each.cancel()
        for port in sockets or ():
            await self._accept_rest(port)
        await super().shutdown(sockets)

    async def _accept_rest(self, port: socket.socket) -> None:
        """Accept what the kernel has accepted at ``port`` already: closing it would reset these connections."""
        accepted = 0
        with suppress(OSError):  # no more
            while True:
                await self._admit(port.accept()[0])
                accepted += 1
        port.close()
        if accepted:
            await asyncio.sleep(_PAUSE_S)  # in which their requests are read

    async def _accept_at(self, port: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        port.setblocking(False)
        while True:
            try:
                connection, _ = await loop.sock_accept(port)
            except OSError as error:  # out of descriptors, or the peer has gone
                made = self._connections.make_room()
                logger.warning("accept: %s%s", cause(error), "; an idle connection is closed" if made else "")
                await asyncio.sleep(_PAUSE_S)
                continue
            self._wake.set()
            await self.on_tick(0)  # the header Date is as old as the last connection
            await self._admit(connection)

    async def _admit(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:  # the peer has gone
            with suppress(OSError):
                connection.close()

    def _protocol(self) -> asyncio.Protocol:
        return BoundedProtocol(self, self._connections, self._deadlines, lambda: self.is_draining)


def _unhandled(loop: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:
    """Log an error that reached the event loop; that of a broken connection only at debug level."""
    error = context.get("exception")
    if isinstance(error, ConnectionError):
        logger.debug("%s (%s)", context["message"], cause(error))
    else:
        logger.error("%s", context["message"], exc_info=error if isinstance(error, Exception) else None)
