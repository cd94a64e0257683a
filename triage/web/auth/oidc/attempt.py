"""One attempt to sign in at the provider. The browser holds a secret; all values that others see are derived from it.

The server stores nothing, so a flood of attempts fills nothing. State, nonce and challenge in an address reveal neither
the secret nor the verifier.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Self
from urllib.parse import quote, unquote

from triage.web.auth.own_page import own_page

LIFETIME_S = 600
"""Lifetime of the cookie in seconds: time to enter a password and a second factor."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits
_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True)
class Attempt:
    """Secret of an attempt, the page ``next`` to show after it, and its begin in POSIX seconds."""

    secret: str
    next: str = "/"
    began: int = 0

    @classmethod
    def begun(cls, page: str, now: Callable[[], float] = time.time) -> Self:
        """Begin an attempt."""
        return cls(secrets.token_urlsafe(32), own_page(page), int(now()))

    @classmethod
    def of_cookie(cls, text: str) -> Self | None:
        """Parse the cookie of a browser; None if it is not valid."""
        head, _, page = text.partition(".")
        secret, _, began = head.partition("~")
        if not (_SECRET.fullmatch(secret) and _SECONDS.fullmatch(began)):
            return None
        return cls(secret, own_page(unquote(page)), int(began))

    @property
    def cookie(self) -> str:
        """Value of the cookie."""
        return f"{self.secret}~{self.began}.{quote(self.next, safe='')}"

    @property
    def state(self) -> str:
        """The state parameter, which ties the response to this browser (RFC 6749 10.12)."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """The nonce, which ties the ID token to this attempt (OpenID Connect Core 3.1.2.1)."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """The code verifier, which proves that the same client began the attempt (RFC 7636 4.1)."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """The code challenge, S256 of the verifier (RFC 7636 4.2)."""
        return _text(sha256(self.verifier.encode()).digest())

    def _derived(self, purpose: str) -> str:
        return _text(hmac.digest(self.secret.encode(), purpose.encode(), sha256))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
