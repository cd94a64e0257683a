"""Expiry of certificates and certificate revocation lists (RFC 5280) in PEM files (RFC 7468).

``cryptography`` is imported where a file is read: a service without TLS does not load it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from triage.errors import TriageError


class CertificateError(TriageError, ValueError):
    """A file without a readable certificate or revocation list. The message names the file: replace it."""


def first_certificate(path: Path) -> bytes:
    """Return the first certificate in a PEM file, in DER. Raises OSError, CertificateError."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    block = _first_certificate_block(path)
    try:
        return x509.load_pem_x509_certificate(block).public_bytes(Encoding.DER)
    except (ValueError, x509.InvalidVersion) as error:
        raise _damaged(path, "certificate") from error


def not_after(path: Path) -> float:
    """Return when the first certificate in a PEM file expires, in POSIX seconds. Raises OSError, CertificateError."""
    from cryptography import x509

    block = _first_certificate_block(path)
    try:
        return x509.load_pem_x509_certificate(block).not_valid_after_utc.timestamp()
    except (ValueError, x509.InvalidVersion) as error:
        raise _damaged(path, "certificate") from error


def next_update(path: Path) -> float:
    """Return when the first of the revocation lists in a PEM file expires, in POSIX seconds.

    ``inf`` where no list states a next update (RFC 5280 5.1.2.5). Raises OSError, and CertificateError also for a file
    without any list.
    """
    from cryptography import x509

    blocks = _blocks(path, "X509 CRL")
    if not blocks:
        raise CertificateError(f"{path} has no certificate revocation list in PEM")
    try:
        updates = [x509.load_pem_x509_crl(block).next_update_utc for block in blocks]
        return min(math.inf if each is None else each.timestamp() for each in updates)
    except (ValueError, x509.InvalidVersion) as error:
        raise _damaged(path, "certificate revocation list") from error


def _first_certificate_block(path: Path) -> bytes:
    blocks = _blocks(path, "CERTIFICATE")
    if not blocks:
        raise CertificateError(f"{path} has no certificate in PEM")
    return blocks[0]


def _blocks(path: Path, label: str) -> list[bytes]:
    """Return the PEM blocks of a label. Each is read by itself: keys and damaged blocks elsewhere do not matter."""
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    return re.findall(re.escape(begin) + b".*?" + re.escape(end), path.read_bytes(), re.DOTALL)


def _damaged(path: Path, content: str) -> CertificateError:
    return CertificateError(f"{path}: no X.509 {content}: it is damaged, or not in PEM")
