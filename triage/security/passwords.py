"""Passwords as they are kept: scrypt (RFC 7914), each with a salt of its own and the parameters it was made with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import unicodedata
from dataclasses import dataclass
from typing import Self

SHORTEST = 12
LONGEST = 256
_SALT_BYTES = 16
_DIGEST_BYTES = 32
_LARGEST_MEMORY = 1 << 28  # a file that asks for more was not written by us
_FORM = re.compile(r"scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)")


class WeakPasswordError(ValueError):
    """A password that is not taken; the message says what is."""


@dataclass(frozen=True)
class Cost:
    """Parameters of scrypt: 2**ln rounds of memory blocks of ``r`` * 128 bytes, ``p`` times."""

    ln: int
    r: int
    p: int

    @property
    def memory_bytes(self) -> int:
        """What one computation needs at most (RFC 7914 section 2), with room for OpenSSL's own."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2) + (1 << 20)


COST = Cost(ln=15, r=8, p=3)
"""32 MiB and some tenths of a second: one of the equivalent choices of OWASP's Password Storage Cheat Sheet (2024)."""


@dataclass(frozen=True)
class Hashed:
    """A password as it is kept."""

    cost: Cost
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` wrote; ValueError for anything else."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("not a password as this program keeps it")
        cost = Cost(int(found[1]), int(found[2]), int(found[3]))
        if cost.memory_bytes > _LARGEST_MEMORY:
            raise ValueError("a password with parameters beyond all measure")
        return cls(cost, base64.b64decode(found[4]), base64.b64decode(found[5]))

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(each).decode() for each in (self.salt, self.digest))
        return f"scrypt$ln={self.cost.ln},r={self.cost.r},p={self.cost.p}${salt}${digest}"

    def matches(self, password: str) -> bool:
        """Whether that is the password; takes its time, and the same whatever the answer."""
        return hmac.compare_digest(self.digest, _digest(password, self.salt, self.cost, len(self.digest)))


UNKNOWN = Hashed(COST, bytes(_SALT_BYTES), bytes(_DIGEST_BYTES))
"""What the password of an unknown user is compared with, so that it takes as long as that of a known one."""


def hashed(password: str, cost: Cost | None = None) -> Hashed:
    """A password to keep; with today's parameters if none are given."""
    cost = cost or COST
    salt = os.urandom(_SALT_BYTES)
    return Hashed(cost, salt, _digest(password, salt, cost, _DIGEST_BYTES))


def check(password: str, name: str) -> None:
    """Raise WeakPasswordError for a password that ``name`` may not choose."""
    if len(password) < SHORTEST:
        raise WeakPasswordError(f"a password has {SHORTEST} characters or more: take some words that nobody else would")
    if len(password) > LONGEST:
        raise WeakPasswordError(f"a password has at most {LONGEST} characters")
    if name.casefold() in password.casefold() and len(password) < len(name) + SHORTEST:
        raise WeakPasswordError("that is little more than the user's name")
    if len(set(password)) < 5:
        raise WeakPasswordError("that repeats the same few characters")


def _digest(password: str, salt: bytes, cost: Cost, length: int) -> bytes:
    # The same password typed on another keyboard may be composed otherwise (NIST SP 800-63B 5.1.1.2).
    secret = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=1 << cost.ln, r=cost.r, p=cost.p, maxmem=cost.memory_bytes, dklen=length)
