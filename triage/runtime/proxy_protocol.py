"""The PROXY protocol at our ports: a connection of a named TCP proxy begins with a header that says whose it is."""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from triage.dicom.peer_address import Network, plain
from triage.dicom.proxy_header import (
    FIXED_LENGTH,
    HeaderError,
    HeaderFault,
    ProxyHeader,
    parse,
    rest_length,
)
from triage.runtime.logs import seldom

logger = logging.getLogger(__name__)

HEADER_TIMEOUT_S = 5.0
"""Seconds from the connection to a whole header. A proxy sends it first; the rest is for a lost packet or two."""


@dataclass(frozen=True)
class ProxyProtocol:
    """Rules of one port.

    Attributes:
        networks: Of the proxies that send a header with each connection; of all others a header is no header.
        on_fault: Called for each connection of a proxy that is closed for want of a valid header.
    """

    networks: tuple[Network, ...] = ()
    on_fault: Callable[[HeaderFault], object] = lambda fault: None

    @classmethod
    def of(cls, networks: Iterable[str], on_fault: Callable[[HeaderFault], object]) -> Self:
        """Parse networks of the settings, which were checked there."""
        return cls(tuple(ipaddress.ip_network(each, strict=False) for each in networks), on_fault)

    def expects_header(self, address: str) -> bool:
        """Return True if a connection from ``address`` has to begin with a header."""
        return bool(self.networks) and any(plain(address) in network for network in self.networks)

    def peer(self, accepted: socket.socket, proxy: str) -> str | None:
        """Read the header of a connection of ``proxy``, and nothing behind it; return the address of its peer.

        None: the connection has no valid header, which was logged and counted, or the proxy only checks whether we
        listen. It waits for the proxy, ``HEADER_TIMEOUT_S`` at most.
        """
        deadline = time.monotonic() + HEADER_TIMEOUT_S
        try:
            header = _read_header(accepted, deadline)
            if header.address is None and _is_health_check(accepted, deadline):
                return None
            accepted.settimeout(None)
        except HeaderError as error:
            self._refuse(proxy, error)
            return None
        return _named_by(header, proxy)

    def _refuse(self, proxy: str, error: HeaderError) -> None:
        self.on_fault(error.fault)
        if error.fault is HeaderFault.SILENT:
            logger.info("a connection of the proxy %s was closed: %s", proxy, error, extra=seldom(proxy))
            return
        text = "a connection of the proxy %s was closed: %s (proxy_protocol_from has its address)"
        logger.warning(text, proxy, error, extra=seldom(f"{proxy} {error.fault}"))


NO_PROXIES = ProxyProtocol()
"""Rules of a port whose connections are their peers' own."""


def _named_by(header: ProxyHeader, proxy: str) -> str:
    """Return the address that a header names.

    A loopback address is that of the proxy's own machine: told by another machine, it is not this one.
    """
    if header.address is None or (plain(header.address).is_loopback and not plain(proxy).is_loopback):
        return proxy
    return header.address


def _is_health_check(accepted: socket.socket, deadline: float) -> bool:
    """Return True for a connection of the proxy itself in which nothing follows the header."""
    accepted.settimeout(_left(deadline))
    try:
        return not accepted.recv(1, socket.MSG_PEEK)
    except OSError:  # silent, or reset: HAProxy ends its checks so
        return True


def _read_header(accepted: socket.socket, deadline: float) -> ProxyHeader:
    fixed = _exactly(accepted, FIXED_LENGTH, deadline)
    if not fixed:
        raise HeaderError("it sent nothing, as a check that sends no header does", HeaderFault.SILENT)
    if len(fixed) == FIXED_LENGTH:
        length = rest_length(fixed)
        rest = _exactly(accepted, length, deadline)
        if len(rest) == length:
            return parse(fixed + rest)
    raise HeaderError("it closed the connection in the midst of its PROXY header", HeaderFault.LOST)


def _exactly(accepted: socket.socket, count: int, deadline: float) -> bytes:
    """Read ``count`` bytes, less if the connection ends, and none that follow: TLS or the protocol begins there."""
    data = bytearray()
    while len(data) < count:
        accepted.settimeout(_left(deadline))
        try:
            received = accepted.recv(count - len(data))
        except TimeoutError as error:
            raise HeaderError(f"no whole PROXY header within {HEADER_TIMEOUT_S:g} s", HeaderFault.LATE) from error
        except ConnectionError:  # reset: as a check ends that sends no header
            break
        if not received:
            break
        data += received
    return bytes(data)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)  # zero would not wait, and raise another error
