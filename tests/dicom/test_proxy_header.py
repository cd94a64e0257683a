"""The header of a TCP proxy: who it speaks for, and all that is no such header."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.proxy_headers import CHECKSUM, LOCAL, NOOP, checked, header, local, value
from triage.dicom.proxy_header import (
    FIXED_LENGTH,
    SIGNATURE,
    HeaderError,
    HeaderFault,
    ProxyHeader,
    crc32c,
    parse,
    rest_length,
)

ADDRESSES = st.ip_addresses().map(lambda each: getattr(each, "ipv4_mapped", None) or each)
PEERS = ADDRESSES.filter(lambda each: not (each.is_multicast or each.is_unspecified)) | st.ip_addresses(
    network="::ffff:10.0.0.0/104"
)
VALUES = st.lists(
    st.tuples(st.integers(0, 255).filter(lambda kind: kind != CHECKSUM), st.binary(max_size=40)), max_size=5
).map(lambda pairs: b"".join(value(*each) for each in pairs))


def fault(content: bytes) -> HeaderFault:
    with pytest.raises(HeaderError) as raised:
        parse(content)
    return raised.value.fault


@given(PEERS, VALUES, VALUES)
def test_the_peer_is_named_whatever_values_follow_the_addresses(
    peer: ipaddress.IPv4Address | ipaddress.IPv6Address, before: bytes, after: bytes
):
    expected = ProxyHeader(str(getattr(peer, "ipv4_mapped", None) or peer))
    assert parse(header(str(peer), values=before + after)) == expected
    assert parse(checked(str(peer), before, after)) == expected


def test_an_ipv4_peer_is_the_same_peer_in_ipv6():
    assert parse(header("::ffff:10.1.2.3")) == ProxyHeader("10.1.2.3")


@pytest.mark.parametrize("content", [b"", bytes(12), b"\xff" * 7, header("10.1.2.3")])
def test_a_check_of_the_proxy_is_its_own_connection_whatever_it_says(content: bytes):
    assert parse(local(content)) == ProxyHeader(None)
    assert parse(header("10.1.2.3", command=LOCAL)) == ProxyHeader(None)


@given(st.integers(0, 10_000))
def test_a_changed_bit_is_never_another_peer_where_there_is_a_checksum(number: int):
    """CRC-32C finds every single bit; where the bit makes it another kind of header, that is refused or LOCAL."""
    whole = bytearray(checked("10.1.2.3", value(NOOP, b"pad")))
    number %= len(whole) * 8
    whole[number // 8] ^= 1 << number % 8
    try:
        found = parse(bytes(whole))
    except HeaderError:
        return
    assert found.address in (None, "10.1.2.3")
    assert found.address is None or _sum_was_unnamed(number)


def _sum_was_unnamed(bit: int) -> bool:
    """The bit is in the type of the checksum or in the length of the value before it: then none is found."""
    start = FIXED_LENGTH + 12
    return start <= bit // 8 < start + 3 + 3 + 1


@given(st.binary(max_size=200))
@example(b"")
@example(SIGNATURE)
def test_bytes_are_a_header_or_refused_in_one_way(content: bytes):
    for each in (content, SIGNATURE + content):
        try:
            assert isinstance(parse(each), ProxyHeader)
        except HeaderError as error:
            assert str(error)


@given(st.integers(0, 59), st.sampled_from(["10.1.2.3", "2001:db8::9"]))
def test_a_header_that_is_cut_off_is_refused_at_every_byte(left: int, peer: str):
    whole = checked(peer)
    assert fault(whole[: min(left, len(whole) - 1)]) is not HeaderFault.CHECKSUM


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PROXY TCP4 10.1.2.3 10.1.2.4 40000 11112\r\n", HeaderFault.VERSION_1),
        (b"\x01\x00" + bytes(100), HeaderFault.MISSING),  # an A-ASSOCIATE-RQ
        (b"\x16\x03\x01" + bytes(100), HeaderFault.MISSING),  # a ClientHello
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HeaderFault.MISSING),
        (header("10.1.2.3", command=0x11), HeaderFault.MALFORMED),  # version 1 in binary
        (header("10.1.2.3", command=0x22), HeaderFault.MALFORMED),
        (header("10.1.2.3", family=0x00), HeaderFault.UNSUPPORTED),  # UNSPEC
        (header("10.1.2.3", family=0x12), HeaderFault.UNSUPPORTED),  # UDP
        (header("10.1.2.3", family=0x31), HeaderFault.UNSUPPORTED),  # a UNIX socket
        (header("10.1.2.3", family=0x21), HeaderFault.MALFORMED),  # too short for IPv6
        (header("0.0.0.0"), HeaderFault.MALFORMED),
        (header("::"), HeaderFault.MALFORMED),
        (header("224.0.0.1"), HeaderFault.MALFORMED),
        (header("10.1.2.3", values=b"\x04"), HeaderFault.MALFORMED),
        (header("10.1.2.3", values=b"\x04\x00\x05abcd"), HeaderFault.MALFORMED),
        (header("10.1.2.3", values=value(CHECKSUM, bytes(4))), HeaderFault.CHECKSUM),
        (header("10.1.2.3", values=value(CHECKSUM, bytes(3))), HeaderFault.MALFORMED),
        (checked("10.1.2.3", after=value(CHECKSUM, bytes(4))), HeaderFault.MALFORMED),
    ],
)
def test_what_is_no_header_of_a_tcp_peer_is_refused_and_says_why(content: bytes, why: HeaderFault):
    with pytest.raises(HeaderError) as raised:
        rest_length(content[:FIXED_LENGTH])
        parse(content)
    assert raised.value.fault is why


def test_the_checksum_is_the_one_of_rfc_3720():
    assert [crc32c(each) for each in (bytes(32), b"\xff" * 32, bytes(range(32)))] == [
        0x8A9136AA,
        0x62A8AB43,
        0x46DD794E,
    ]


def test_the_length_is_read_of_the_fixed_part_alone():
    assert rest_length(SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 65535)) == 65535
