"""Origin of a request: its address and encryption, as trusted reverse proxies report them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from starlette.datastructures import Headers
from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LONGEST_CHAIN = 32


@dataclass(frozen=True)
class TrustedProxies:
    """Networks of reverse proxies whose X-Forwarded headers are believed; those of other clients are not."""

    trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> Self:
        """Parse addresses and networks of the settings."""
        return cls(tuple(ipaddress.ip_network(each, strict=False) for each in networks))

    def is_proxy(self, scope: Scope) -> bool:
        """Return True if the peer of the connection is a trusted proxy."""
        peer = _peer(scope)
        return peer is not None and self._trusts(peer)

    def is_proxy_address(self, address: str) -> bool:
        """Return True if ``address`` belongs to a trusted proxy."""
        found = _address(address)
        return found is not None and self._trusts(found)

    def address(self, scope: Scope) -> str:
        """Return the client address: the first from the right of X-Forwarded-For that is no trusted proxy's."""
        found = _peer(scope)
        if found is None:
            return ""
        chain = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
        for text in reversed(chain[-_LONGEST_CHAIN:]):
            if not self._trusts(found):
                break
            forwarded = _address(text)
            if forwarded is None:
                break
            found = forwarded
        return str(found)

    def is_private(self, scope: Scope) -> bool:
        """Return True if the request came over TLS, or over loopback."""
        peer = _peer(scope)
        if peer is None:
            return False
        forwarded = Headers(scope=scope).get("x-forwarded-proto", "")
        if forwarded and self._trusts(peer):
            return all(each.strip().lower() == "https" for each in forwarded.split(","))
        return scope.get("scheme") == "https" or peer.is_loopback

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.trusted if network.version == address.version)


def _peer(scope: Scope) -> Address | None:
    client = scope.get("client")
    return None if not client else _address(client[0])


def _address(text: str) -> Address | None:
    """Parse an address, an IPv4-mapped IPv6 address as IPv4; None if it is invalid."""
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
