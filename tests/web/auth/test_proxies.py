"""Address of a request: only trusted proxies are believed."""

from __future__ import annotations

from typing import Any

import pytest

from triage.web.auth.process_throttle import ProcessThrottle
from triage.web.auth.proxies import TrustedProxies

PEERS = TrustedProxies.of(["10.0.0.5", "192.168.7.0/24", "2001:db8::5"])


def scope(peer: str | None, **headers: str) -> dict[str, Any]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": "http", "client": (peer, 1) if peer else None, "headers": raw}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # not a trusted proxy
        ("10.0.0.5", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.5", "evil, 198.51.100.1", "198.51.100.1"),  # what the client itself sent stands further left
        ("10.0.0.5", "1.1.1.1, 198.51.100.1, 192.168.7.9", "198.51.100.1"),
        ("10.0.0.5", "10.0.0.5", "10.0.0.5"),
        ("10.0.0.5", "unknown", "10.0.0.5"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("::ffff:10.0.0.5", "198.51.100.1", "198.51.100.1"),
        ("2001:db8::5", "2001:db8:1::1%eth0", "2001:db8:1::1"),
        (None, "198.51.100.1", ""),
    ],
)
def test_the_address_is_the_last_that_is_no_proxy_s(peer: str | None, forwarded: str, address: str) -> None:
    assert PEERS.address(scope(peer, x_forwarded_for=forwarded)) == address


@pytest.mark.parametrize(
    ("peer", "proto", "private"),
    [
        ("10.0.0.5", "https", True),
        ("10.0.0.5", "https, HTTPS", True),
        ("10.0.0.5", "https,http", False),
        ("10.0.0.5", "http,https", False),
        ("10.0.0.5", "http", False),
        ("10.0.0.5", "", False),
        ("203.0.113.9", "https", False),
        ("127.0.0.1", "", True),
        ("::1", "", True),
        (None, "https", False),
    ],
)
def test_what_others_can_read_is_not_private(peer: str | None, proto: str, private: bool) -> None:
    assert PEERS.is_private(scope(peer, x_forwarded_proto=proto)) is private


def test_waits_grow_end_and_are_forgotten() -> None:
    now = [0.0]
    throttle = ProcessThrottle(lambda: now[0])
    for _ in range(5):
        assert throttle.begin("ann", "192.0.2.1") <= 0
    waits = []
    for _ in range(12):
        waits.append(throttle.begin("ANN", "192.0.2.1"))
        now[0] += waits[-1]
        assert throttle.begin("ann", "192.0.2.1") <= 0
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1.0, 300.0)
    assert throttle.begin("ann", "192.0.2.2") <= 0  # attempts from another address lock no user out
    now[0] += 3601
    assert throttle.begin("ann", "192.0.2.1") <= 0
    throttle.succeeded("ann", "192.0.2.1")
    assert throttle.begin("ann", "192.0.2.1") <= 0


def test_an_address_that_tries_many_names_waits_too_and_ipv6_counts_by_network() -> None:
    throttle = ProcessThrottle(lambda: 0.0)
    for number in range(30):
        assert throttle.begin(f"user {number}", f"2001:db8::{number:x}") <= 0
    assert 0 < throttle.begin("another", "2001:db8::ffff") <= 60
    assert throttle.begin("another", "2001:db8:0:1::1") <= 0
