"""A small HTTP server in each process: /metrics, /healthz, /readyz."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from triage.errors import StartError, cause
from triage.runtime.http_request import PeerError, ask_once

logger = logging.getLogger(__name__)

Readiness = Callable[[], tuple[bool, str]]
"""Returns True if the process can do its work now, and a text. Called on each /readyz, from any thread."""

_TEXT = "text/plain; charset=utf-8"
_READ_TIMEOUT_S = 10.0
_MAX_REQUEST_S = 20.0  # with its response, for a client that sends a byte now and then
_MAX_CONNECTIONS = 16
_REQUEST_TIMEOUT_S = 5.0
_RETRY_S = 0.1
_POLL_S = 0.1  # while a connection is open: its time has an end


class HealthServer:
    """Serves ``registry`` and ``ready`` from threads of its own, from ``with`` to its end.

    ``port`` 0 takes any free one; the attribute ``port`` is the one in use. ``waits``: it stands where others call, and
    answers any other address with 503 and the words of ``ready``. Raises StartError if it cannot listen.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        ready: Readiness,
        port: int,
        host: str = "127.0.0.1",
        *,
        waits: bool = False,
    ) -> None:
        try:
            self._server = _HealthHTTPServer((host, port), partial(_Handler, registry, ready, waits))
        except OSError as error:
            raise StartError(
                f"health and metrics: cannot listen on {host}:{port} ({cause(error)}): "
                "end what listens there, or set another metrics_port"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _HealthHTTPServer(ThreadingHTTPServer):
    daemon_threads = True  # a scraper that hangs must not keep a process alive
    request_queue_size = 32
    timeout = 0  # of handle_request, which is called when a connection waits

    def __init__(self, *values: Any) -> None:
        self._began: dict[socket.socket, float] = {}  # oldest first
        self._counting = threading.Lock()
        self._end, self._ended = socket.socketpair()
        super().__init__(*values)  # closes what is there if the port is taken

    def serve_forever(self, poll_interval: float = _POLL_S) -> None:
        """Serve until ``shutdown``.

        The loop of socketserver wakes ten times a second for ever; this one sleeps while no connection is open.
        """
        with selectors.DefaultSelector() as selector:
            for each in (self, self._ended):
                selector.register(each, selectors.EVENT_READ, each)
            while True:
                ready = [key.data for key, _ in selector.select(poll_interval if self._began else None)]
                if self._ended in ready:
                    return
                if ready:
                    self.handle_request()
                self.service_actions()

    def shutdown(self) -> None:
        """End ``serve_forever`` soon."""
        self._end.send(b"\0")

    def server_close(self) -> None:
        """Close the port."""
        super().server_close()
        self._end.close()
        self._ended.close()

    def get_request(self) -> tuple[Any, Any]:
        """Return the next connection. If there is no descriptor for it, end the oldest, and wait a moment."""
        try:
            return super().get_request()
        except OSError:
            self._break_off(lambda position, began: position == 0)
            time.sleep(_RETRY_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the request; if there are too many, end the oldest connection."""
        with self._counting:
            self._began[request] = time.monotonic()
            too_many = len(self._began) - _MAX_CONNECTIONS
        self._break_off(lambda position, began: position < too_many)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection of a request that has ended."""
        with self._counting:
            self._began.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that take too long. Called ten times a second while there is one."""
        before = time.monotonic() - _MAX_REQUEST_S
        self._break_off(lambda position, began: began < before)

    def _break_off(self, selected: Callable[[int, float], bool]) -> None:
        with self._counting:
            for position, (connection, began) in enumerate(list(self._began.items())):
                if selected(position, began):
                    del self._began[connection]
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)  # its thread wakes, and closes it

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the name of the address."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the error, and do not print it: a scraper that hung up is no news."""
        logger.debug("health: a request from %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _READ_TIMEOUT_S
    disable_nagle_algorithm = True  # headers and body are two writes

    def __init__(self, registry: CollectorRegistry, ready: Readiness, waits: bool, *args: Any) -> None:
        self._registry = registry
        self._ready = ready
        self._waits = waits
        super().__init__(*args)

    def do_GET(self) -> None:
        """Respond to a request."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._respond(200, CONTENT_TYPE_LATEST, generate_latest(self._registry))
        elif path == "/healthz":
            self._respond(200, _TEXT, b"alive\n")
        elif path == "/readyz" or self._waits:
            ready, reason = check(self._ready)
            self._respond(200 if ready else 503, _TEXT, f"{reason}\n".encode())
        else:
            self._respond(404, _TEXT, b"there is /metrics, /healthz and /readyz\n")

    def _respond(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: scrapes come every few seconds."""


def check(ready: Readiness) -> tuple[bool, str]:
    """Return the result of ``ready``; a process whose check fails is not ready."""
    try:
        return ready()
    except Exception:  # the edge: any error is a 503, and its cause is in the log
        logger.exception("readiness check failed")
        return False, "the readiness check itself failed: see the log"


def is_ready(url: str) -> tuple[bool, str]:
    """Return True if the process behind the /readyz ``url`` is ready, and its text. Proxies are not used."""
    try:
        response = ask_once(url, _REQUEST_TIMEOUT_S)
    except PeerError as error:
        return False, f"{url} does not answer: {error}"
    return response.status == 200, response.body.decode(errors="replace").strip()
