"""Until when certificates and lists of revoked ones hold (RFC 5280), read from PEM files (RFC 7468)."""

from __future__ import annotations

import base64
import binascii
import math
from datetime import UTC, datetime
from pathlib import Path

_UTC_TIME, _GENERALIZED_TIME, _VERSION, _INTEGER = 0x17, 0x18, 0xA0, 0x02


def first_certificate(path: Path) -> bytes:
    """The first certificate in a PEM file, in DER. Raises OSError, ValueError."""
    found = _blocks(path, "CERTIFICATE")
    if not found:
        raise ValueError(f"{path} has no certificate in PEM")
    return found[0]


def not_after(certificate: Path) -> float:
    """When the first certificate in a PEM file expires, in POSIX seconds. Raises OSError, ValueError."""
    return expiry(first_certificate(certificate))


def next_update(crl: Path) -> float:
    """When the first of the lists of revoked certificates in a PEM file expires, in POSIX seconds; ``inf``: never.

    Raises OSError, ValueError, also for a file without any.
    """
    found = _blocks(crl, "X509 CRL")
    if not found:
        raise ValueError(f"{crl} has no certificate revocation list in PEM")
    return min(map(_next_update, found))


def expiry(der: bytes) -> float:
    """NotAfter of a certificate (RFC 5280 4.1), in POSIX seconds. Raises ValueError."""
    try:
        fields = _elements(_elements(_elements(der)[0][1])[0][1])
        if fields[0][0] == _VERSION:
            fields = fields[1:]
        return _moment(*_elements(fields[3][1])[1])  # serial number, algorithm, issuer, validity
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("no X.509 certificate") from error


def _next_update(der: bytes) -> float:
    """NextUpdate of a list (RFC 5280 5.1): behind version, algorithm, issuer and thisUpdate, where it is there."""
    try:
        fields = _elements(_elements(_elements(der)[0][1])[0][1])
        if fields[0][0] == _INTEGER:
            fields = fields[1:]
        kind, value = fields[3] if len(fields) > 3 else (0, b"")
        return _moment(kind, value) if kind in (_UTC_TIME, _GENERALIZED_TIME) else math.inf
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("no X.509 certificate revocation list") from error


def _moment(kind: int, value: bytes) -> float:
    text = value.decode("ascii")
    if kind == _UTC_TIME:
        text = ("20" if text[:2] < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _blocks(path: Path, label: str) -> list[bytes]:
    begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
    parts = path.read_text(encoding="ascii", errors="replace").split(begin)[1:]
    try:
        return [base64.b64decode(part.split(end)[0]) for part in parts if end in part]
    except binascii.Error as error:
        raise ValueError(f"{path}: {label} is not in PEM ({error})") from error


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents of the DER elements that follow each other."""
    found, position = [], 0
    while position < len(der):
        kind, length, position = der[position], der[position + 1], position + 2
        if length & 0x80:
            count = length & 0x7F
            length, position = int.from_bytes(der[position : position + count], "big"), position + count
        found.append((kind, der[position : position + length]))
        position += length
    return found
