"""Limits on guessing passwords that lock no user out permanently.

A user name tried from one address waits longer after each wrong password, up to five minutes. An address that tries
many
names waits up to a minute, except for users who signed in from it lately. Attempts from other addresses do not count: a
stranger who knows a name cannot lock out its owner, except at an address that both share, and there only while the
attempts go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from triage.web.http.connection_limits import network_of

FORGOTTEN_AFTER_S = 3600.0
REMEMBERED = 20_000


@dataclass(frozen=True)
class Limit:
    """Tries without a wait, followed by waits that double up to ``longest_s`` seconds."""

    free: int
    longest_s: float

    def wait_s(self, tries: int) -> float:
        """Return the wait after this many wrong tries, in seconds."""
        return 0.0 if tries < self.free else min(2.0 ** min(tries - self.free, 30), self.longest_s)


OF_A_USER = Limit(free=5, longest_s=300.0)
OF_AN_ADDRESS = Limit(free=30, longest_s=60.0)


@dataclass(frozen=True)
class Standing:
    """A name at an address: seconds until the next try is allowed (0 or less for now), and how it is known.

    ``known``: the user signed in from there lately. ``tries``: recent wrong ones of the address.
    """

    wait_s: float
    known: bool
    tries: int


class Throttle(Protocol):
    """Recent attempts. Safe for threads. One of several hosts raises AccessAwayError: no password is compared then."""

    def standing(self, name: str, address: str) -> Standing:
        """Return what is known of a name at an address. Records nothing."""
        ...

    def begin(self, name: str, address: str) -> float:
        """Record a try and return 0 or less; or, if it is too early, return the seconds left to wait.

        A try counts as wrong until ``succeeded`` is called.
        """
        ...

    def succeeded(self, name: str, address: str) -> None:
        """Record that the last try was right."""


@dataclass(frozen=True)
class Tries:
    """Wrong tries, and the seconds since the last one."""

    count: int = 0
    since_s: float = 0.0

    @property
    def recent(self) -> int:
        """The number of tries that are not forgotten."""
        return 0 if self.since_s > FORGOTTEN_AFTER_S else self.count

    def wait_s(self, limit: Limit) -> float:
        """Return the seconds until the next try is allowed; 0 or less for now."""
        return 0.0 if self.since_s > FORGOTTEN_AFTER_S else limit.wait_s(self.count) - self.since_s


def standing_of(of_user: Tries, of_address: Tries, known: bool) -> Standing:
    """Return the standing of a name from its own tries and those of its address."""
    own = of_user.wait_s(OF_A_USER)
    wait_s = own if known else max(own, of_address.wait_s(OF_AN_ADDRESS))
    return Standing(wait_s, known, of_address.recent)


def user_key(name: str, address: str) -> tuple[str, ...]:
    """Return the key of a name at an address."""
    return (name.casefold(), *address_key(address))


def address_key(address: str) -> tuple[str, ...]:
    """Return the key of an address: of IPv6, of its network."""
    return (network_of(address),)
