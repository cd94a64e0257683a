"""Headers of the PROXY protocol, version 2, as proxies write them."""

from __future__ import annotations

import ipaddress
import struct

from triage.dicom.proxy_header import SIGNATURE, crc32c

LOCAL, PROXY = 0x20, 0x21
NOOP, CHECKSUM = 0x04, 0x03


def header(source: str, *, values: bytes = b"", command: int = PROXY, family: int | None = None) -> bytes:
    """The header of a connection from ``source`` with ``values`` (TLVs) behind the addresses."""
    address = ipaddress.ip_address(source)
    ours = ipaddress.ip_address("192.0.2.1" if address.version == 4 else "2001:db8::1")
    block = address.packed + ours.packed + struct.pack("!HH", 40000, 11112) + values
    kind = {4: 0x11, 6: 0x21}[address.version] if family is None else family
    return SIGNATURE + struct.pack("!BBH", command, kind, len(block)) + block


def value(kind: int, content: bytes) -> bytes:
    """A type-length-value."""
    return struct.pack("!BH", kind, len(content)) + content


def checked(source: str, before: bytes = b"", after: bytes = b"") -> bytes:
    """A header with a checksum between other values."""
    empty = header(source, values=before + value(CHECKSUM, bytes(4)) + after)
    at = len(empty) - len(after) - 4
    return empty[:at] + crc32c(empty).to_bytes(4, "big") + empty[at + 4 :]


def local(content: bytes = b"") -> bytes:
    """The header of a connection of the proxy itself, as health checks have it."""
    return SIGNATURE + struct.pack("!BBH", LOCAL, 0x00, len(content)) + content
