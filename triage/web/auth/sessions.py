"""Sessions of signed-in users, which outlive a process: in files of one host, or in the database of several.

The browser holds a random token in a cookie. A session is known by the digest of the token, so that a person who reads
the folder or the table cannot take one over.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

CLOCK_TOLERANCE_S = 60.0
"""A session that begins in the future has ended, unless a clock was set back by no more than this."""

_ACTIVITY_STEP_S = 20.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits


@dataclass(frozen=True)
class ProviderSession:
    """Role and ID token from an identity provider."""

    role: str
    id_token: str  # sent to the provider at sign-out only


@dataclass(frozen=True)
class SignedInSession:
    """User, stamp of the account, and start (POSIX seconds) of a session.

    The ``stamp`` names the state of the account at that time. ``provided`` is None for a local user.
    """

    user: str
    stamp: str
    began: float
    provided: ProviderSession | None = None


@dataclass(frozen=True)
class SessionTimes:
    """``idle_s`` and ``longest_s`` end a session.

    ``lock_s`` without activity lock it, 0 for never: it lasts, and nothing is answered to it until its user signs in
    again.
    """

    idle_s: float
    longest_s: float
    lock_s: float = 0.0

    @property
    def step_s(self) -> float:
        """Seconds within which further activity is not recorded."""
        return min(_ACTIVITY_STEP_S, self.lock_s / 4) if self.lock_s else _ACTIVITY_STEP_S


class Sessions(Protocol):
    """The sessions. Safe for threads and processes. Those of several hosts raise AccessAwayError."""

    @property
    def lock_s(self) -> float:
        """Seconds without activity that lock a session, 0 for never."""
        ...

    def begin(self, user: str, stamp: str, provided: ProviderSession | None = None) -> str:
        """Begin a session and return its token, which only the browser may hold. Raises OSError."""
        ...

    def find(self, token: str, *, active: bool) -> SignedInSession | None:
        """Return the session of a token, or None if it has ended or is locked; ``active`` extends it."""
        ...

    def is_locked(self, token: str) -> bool:
        """Return True if the session of a token lasts and is locked."""
        ...

    def lock(self, token: str) -> None:
        """Lock a session now, as if nothing had been done since ``lock_s``. Raises OSError."""

    def end(self, token: str) -> None:
        """End a session."""

    def end_all(self, user: str | None = None) -> int:
        """End every session, or those of a user, and return how many there were. Raises OSError."""
        ...


def new_token() -> str:
    """Return a token."""
    return secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Return True if a text has the form of a token."""
    return bool(_TOKEN.fullmatch(text))


def digest_of(token: str) -> str:
    """Return the digest by which a session is known."""
    return sha256(token.encode()).hexdigest()
