"""Where a request comes from: whose word on that is believed, and whether others can read what it says."""

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
    """``trusted``: networks of reverse proxies. What they say in X-Forwarded-… is believed, and nobody else."""

    trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> Self:
        """From addresses and networks as the settings have them."""
        return cls(tuple(ipaddress.ip_network(each, strict=False) for each in networks))

    def is_proxy(self, scope: Scope) -> bool:
        """Whether the other end of the connection itself is a trusted proxy."""
        peer = _peer(scope)
        return peer is not None and self._trusts(peer)

    def is_proxys(self, address: str) -> bool:
        """Whether the address is a trusted proxy's."""
        found = _address(address)
        return found is not None and self._trusts(found)

    def address(self, scope: Scope) -> str:
        """Where the request began: from the right of X-Forwarded-For, the first address that is no trusted proxy's."""
        found = _peer(scope)
        if found is None:
            return ""
        chain = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
        for text in reversed(chain[-_LONGEST_CHAIN:]):
            if not self._trusts(found):
                break
            said = _address(text)
            if said is None:
                break
            found = said
        return str(found)

    def is_private(self, scope: Scope) -> bool:
        """Whether nobody on the network can read the request: it came over TLS, or never left this machine."""
        peer = _peer(scope)
        if peer is None:
            return False
        said = Headers(scope=scope).get("x-forwarded-proto", "")
        if said and self._trusts(peer):
            return all(each.strip().lower() == "https" for each in said.split(","))
        return scope.get("scheme") == "https" or peer.is_loopback

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.trusted if network.version == address.version)


def _peer(scope: Scope) -> Address | None:
    client = scope.get("client")
    return None if not client else _address(client[0])


def _address(text: str) -> Address | None:
    """An IPv4 address in IPv6's clothes is that IPv4 address; None for what is no address."""
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
