"""PURE: the header of the PROXY protocol, version 2, by which a TCP proxy says whom it speaks for (proxy-protocol.txt).

Nothing is guessed: what is not exactly such a header is refused, since all that follows is taken as that peer's.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from triage.dicom.peer_address import plain
from triage.errors import TriageError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED_LENGTH = 16
"""Bytes of the part that says how long the rest is; the protocol behind may begin right after the rest."""

_LOCAL, _PROXY = 0x20, 0x21  # version 2 in the upper half
_OVER_TCP = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}  # family and transport
_CRC32C = 0x03
_TLV = struct.Struct("!BH")


class HeaderFault(StrEnum):
    """Faults of the header of a trusted proxy; the label of the metric."""

    SILENT = "silent"  # closed before the first byte: a health check that sends no header
    MISSING = "missing"  # something else came first
    VERSION_1 = "version_1"  # the text form of the header
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"  # of a peer that came over something other than TCP
    CHECKSUM = "checksum"
    LATE = "late"  # not complete in time
    LOST = "lost"  # closed in its midst


class HeaderError(TriageError):
    """A connection without a valid header; ``fault`` says why."""

    def __init__(self, message: str, fault: HeaderFault) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True)
class ProxyHeader:
    """Whom the proxy speaks for. ``address``: of the peer, in its shortest form; None: of itself (LOCAL)."""

    address: str | None


def rest_length(fixed: bytes) -> int:
    """Return how many bytes follow the first ``FIXED_LENGTH``. Raises HeaderError for what begins no header."""
    if not fixed.startswith(SIGNATURE):
        if fixed.startswith(b"PROXY "):
            raise HeaderError(
                "version 1 of the PROXY protocol: have it send version 2 (HAProxy: send-proxy-v2)",
                HeaderFault.VERSION_1,
            )
        raise HeaderError("no PROXY header: have it send one (HAProxy: send-proxy-v2)", HeaderFault.MISSING)
    command, _, length = struct.unpack_from("!BBH", fixed, len(SIGNATURE))
    if command not in (_LOCAL, _PROXY):
        raise HeaderError(f"a PROXY header of version and command {command:#04x}", HeaderFault.MALFORMED)
    return int(length)


def parse(header: bytes) -> ProxyHeader:
    """Return what a whole header says. Raises HeaderError."""
    if len(header) < FIXED_LENGTH or len(header) != FIXED_LENGTH + rest_length(header[:FIXED_LENGTH]):
        raise HeaderError("a PROXY header of another length than it states", HeaderFault.MALFORMED)
    command, family = header[len(SIGNATURE)], header[len(SIGNATURE) + 1]
    if command == _LOCAL:  # what follows is to be ignored, whatever it is
        return ProxyHeader(None)
    if family not in _OVER_TCP:
        raise HeaderError(f"a PROXY header of a peer of family {family:#04x}, not TCP", HeaderFault.UNSUPPORTED)
    addresses = _OVER_TCP[family]
    if len(header) < FIXED_LENGTH + addresses.size:
        raise HeaderError("a PROXY header too short for its addresses", HeaderFault.MALFORMED)
    _check_sum(header, FIXED_LENGTH + addresses.size)
    return ProxyHeader(_peer(addresses.unpack_from(header, FIXED_LENGTH)[0]))


def crc32c(data: bytes) -> int:
    """Return the checksum CRC-32C (Castagnoli; RFC 3720, B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _table_entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = tuple(_table_entry(value) for value in range(256))


def _peer(packed: bytes) -> str:
    address = plain(str(ipaddress.ip_address(packed)))
    if address.is_unspecified or address.is_multicast:
        raise HeaderError(f"a PROXY header of a peer at {address}, where none can be", HeaderFault.MALFORMED)
    return str(address)


def _check_sum(header: bytes, start: int) -> None:
    """Raise HeaderError unless the values from ``start`` on are whole, and a checksum among them is right."""
    sums = [(at, length) for kind, at, length in _values(header, start) if kind == _CRC32C]
    if not sums:
        return
    at, length = sums[0]
    if len(sums) > 1 or length != 4:
        raise HeaderError("a PROXY header with two checksums, or one that is none", HeaderFault.MALFORMED)
    if crc32c(header[:at] + bytes(4) + header[at + 4 :]) != int.from_bytes(header[at : at + 4], "big"):
        raise HeaderError("a PROXY header with a wrong checksum", HeaderFault.CHECKSUM)


def _values(header: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, position and length of each type-length-value from ``at`` on. Raises HeaderError."""
    while at < len(header):
        if len(header) - at < _TLV.size:
            raise HeaderError("a PROXY header whose last value is cut short", HeaderFault.MALFORMED)
        kind, length = _TLV.unpack_from(header, at)
        at += _TLV.size
        if length > len(header) - at:
            raise HeaderError("a PROXY header with a value longer than the header", HeaderFault.MALFORMED)
        yield kind, at, length
        at += length
