"""One attempt to sign in. The browser keeps a secret; what others see of the attempt is derived from it.

So nothing is kept here, and no flood of attempts fills anything. Who sees state, nonce and challenge in an address
learns neither the secret nor the verifier.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Self
from urllib.parse import quote, unquote

from triage.web.auth.own_page import own_page

LASTS_S = 600
"""How long a browser keeps it: to find one's password, and a second factor."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits


@dataclass(frozen=True)
class Attempt:
    """``next`` is the page of ours to go to then."""

    secret: str
    next: str = "/"

    @classmethod
    def begun(cls, page: str) -> Self:
        """A new one."""
        return cls(secrets.token_urlsafe(32), own_page(page))

    @classmethod
    def of_cookie(cls, text: str) -> Self | None:
        """That of a browser; None if it has none."""
        secret, _, page = text.partition(".")
        return cls(secret, own_page(unquote(page))) if _SECRET.fullmatch(secret) else None

    @property
    def cookie(self) -> str:
        """What the browser keeps."""
        return f"{self.secret}.{quote(self.next, safe='')}"

    @property
    def state(self) -> str:
        """Comes back with the answer, which it ties to this browser (RFC 6749 10.12)."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """Comes back in the ID token, which it ties to this attempt (OpenID Connect Core 3.1.2.1)."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """Shows that who redeems the code has begun the attempt (RFC 7636 4.1)."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """Its digest, S256 (RFC 7636 4.2)."""
        return _text(sha256(self.verifier.encode()).digest())

    def _derived(self, what: str) -> str:
        return _text(hmac.digest(self.secret.encode(), what.encode(), sha256))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
