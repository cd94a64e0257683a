"""HTTP addresses in settings: https, or http on this machine."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_PRINTABLE = re.compile(r"[!-~]{1,2048}")


def safe_address(text: str) -> str:
    """Return ``text`` if it is an https address, or an http address on this machine.

    Raises ValueError that names the fault and quotes nothing: there may be a password in the text.
    """
    parts = _parts(text)
    if parts is None or not parts.hostname or parts.scheme not in ("https", "http") or "@" in parts.netloc:
        raise ValueError("no https address, or one with a name or password in it")
    if parts.fragment or not _has_a_port(parts):
        raise ValueError("an address with a fragment, or with a port that is none")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http is taken on loopback alone, anywhere else https")
    return text


def _parts(text: str) -> SplitResult | None:
    try:
        return urlsplit(text) if _PRINTABLE.fullmatch(text) else None
    except ValueError:  # brackets that are no IPv6 address
        return None


def _has_a_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
