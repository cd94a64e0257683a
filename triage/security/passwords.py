"""Password hashes: scrypt (RFC 7914), each with its own salt and parameters."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import unicodedata
from dataclasses import dataclass
from typing import Self

from triage.errors import TriageError

SHORTEST = 12
LONGEST = 256
_SALT_BYTES = 16
_DIGEST_BYTES = 32
_LARGEST_MEMORY = 1 << 28  # a file with a larger value was not written by this program
_FORM = re.compile(r"scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)")


class WeakPasswordError(TriageError, ValueError):
    """A new password is refused; the message says which passwords are accepted."""


@dataclass(frozen=True)
class ScryptCost:
    """Parameters of scrypt: 2**ln rounds of memory blocks of ``r`` * 128 bytes, ``p`` times."""

    ln: int
    r: int
    p: int

    @property
    def memory_bytes(self) -> int:
        """Memory that one computation needs at most (RFC 7914 section 2), with room for OpenSSL itself."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2) + (1 << 20)


COST = ScryptCost(ln=15, r=8, p=3)
"""32 MiB and some tenths of a second: one of the equivalent choices of OWASP's Password Storage Cheat Sheet (2024)."""


@dataclass(frozen=True)
class PasswordHash:
    """A stored password: its scrypt parameters, salt and digest."""

    cost: ScryptCost
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text that ``str`` returns. Raises ValueError for any other text."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("not a password hash of this program")
        cost = ScryptCost(int(found[1]), int(found[2]), int(found[3]))
        if cost.memory_bytes > _LARGEST_MEMORY:
            raise ValueError("a password hash whose parameters need too much memory")
        return cls(cost, base64.b64decode(found[4]), base64.b64decode(found[5]))

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(each).decode() for each in (self.salt, self.digest))
        return f"scrypt$ln={self.cost.ln},r={self.cost.r},p={self.cost.p}${salt}${digest}"

    def matches(self, password: str) -> bool:
        """Return True if ``password`` is the stored one; takes the same time for either result."""
        return hmac.compare_digest(self.digest, _digest(password, self.salt, self.cost, len(self.digest)))


UNKNOWN = PasswordHash(COST, bytes(_SALT_BYTES), bytes(_DIGEST_BYTES))
"""Compared with the password of an unknown user, so that this takes as long as for a known user."""


def hash_password(password: str, cost: ScryptCost | None = None) -> PasswordHash:
    """Hash a new password, with the current parameters unless ``cost`` is given."""
    cost = cost or COST
    salt = os.urandom(_SALT_BYTES)
    return PasswordHash(cost, salt, _digest(password, salt, cost, _DIGEST_BYTES))


def check_password(password: str, name: str) -> None:
    """Raise WeakPasswordError for a password that the user ``name`` may not choose."""
    if len(password) < SHORTEST:
        raise WeakPasswordError(f"a password has {SHORTEST} characters or more: take some unusual words")
    if len(password) > LONGEST:
        raise WeakPasswordError(f"a password has at most {LONGEST} characters")
    if name.casefold() in password.casefold() and len(password) < len(name) + SHORTEST:
        raise WeakPasswordError("the password is little more than the user's name")
    if len(set(password)) < 5:
        raise WeakPasswordError("the password repeats the same few characters")


def _digest(password: str, salt: bytes, cost: ScryptCost, length: int) -> bytes:
    # The same password typed on another keyboard may be composed of other code points (NIST SP 800-63B 5.1.1.2).
    secret = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=1 << cost.ln, r=cost.r, p=cost.p, maxmem=cost.memory_bytes, dklen=length)
