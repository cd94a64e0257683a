"""The ports of the listener, plain and TLS, and waiting for connections on them."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from triage.dicom.tls import ServerTLS
from triage.listener.settings import ListenerSettings
from triage.metrics.process import Metrics
from triage.runtime.sockets import open_port


@dataclass(frozen=True)
class Door:
    """A port on which we listen; ``tls`` is None where nothing is encrypted."""

    port: socket.socket
    tls: ServerTLS | None = None


def open_doors(settings: ListenerSettings, stack: ExitStack, metrics: Metrics) -> list[Door]:
    """The ports of the settings, the plain one first; closed with ``stack``. Raises StartError."""
    shared = settings.processes > 1
    doors = []
    if not settings.tls_only:
        doors.append(Door(stack.enter_context(open_port(settings.host, settings.port, shared))))
    if settings.tls_port is not None:
        assert settings.tls_certificate is not None and settings.tls_key is not None
        tls = ServerTLS(settings.tls_certificate, settings.tls_key, settings.tls_client_ca, settings.tls_client_crl)
        metrics.certificate_not_after.labels("listener").set_function(tls.not_after)
        if settings.tls_client_crl:
            metrics.crl_next_update.labels("listener").set_function(tls.next_update)
        doors.append(Door(stack.enter_context(open_port(settings.host, settings.tls_port, shared)), tls))
    return doors


class Waiting:
    """Waits for connections at several ports."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._selector = selectors.DefaultSelector()
        for door in doors:
            self._selector.register(door.port, selectors.EVENT_READ, door)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def next(self, seconds: float) -> list[Door]:
        """The ports at which somebody waits; none after ``seconds``."""
        return [key.data for key, _ in self._selector.select(seconds)]
