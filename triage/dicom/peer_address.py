"""PURE: addresses of peers, in the form that settings and quotas mean."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of a peer; of an IPv4 peer at a port of IPv6 that of IPv4. Raises ValueError."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
