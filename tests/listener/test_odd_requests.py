"""Association requests as peers in the field write them: what does not matter is taken, what is refused is counted."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC

from tests.support.dicom_peer import DX, RawPeer, Running, a_data_set, encoded, item, running_listener
from tests.support.wait import wait_for
from triage.dicom.part10 import read_receipt
from triage.metrics.labels import ContextRejection, NoRequest, Rejection
from triage.spool.spool import Spool

ABORT, REJECT, ACCEPT = 0x07, 0x03, 0x02
EXPLICIT, FIND = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.2.2.1"
DICOM = item(0x10, b"1.2.840.10008.3.1.1.1")
USER = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")


def context(number: int, *items: bytes) -> bytes:
    return item(0x20, bytes([number, 0, 0, 0]) + b"".join(items))


def abstract(uid: bytes) -> bytes:
    return item(0x30, uid)


def transfer(uid: bytes = EXPLICIT.encode()) -> bytes:
    return item(0x40, uid)


GOOD = context(1, abstract(DX.encode()), transfer())


def body(
    items: bytes = DICOM + GOOD + item(0x50, USER),
    called: bytes = b"CXR_TRIAGE      ",
    calling: bytes = b"RAW             ",
    version: int = 1,
) -> bytes:
    return struct.pack(">HH", version, 0) + called + calling + bytes(32) + items


def with_user(*more: bytes) -> bytes:
    return body(DICOM + GOOD + item(0x50, USER + b"".join(more)))


def beside(*others: bytes) -> bytes:
    return body(DICOM + b"".join(others) + GOOD + item(0x50, USER))


TAKEN = {
    "blank calling": body(calling=b" " * 16),
    "NUL calling": body(calling=bytes(16)),
    "calling padded with NUL": body(calling=b"RAW".ljust(16, b"\0")),
    "calling as a C string": body(calling=b"RAW\0garbage\1\2\xff\xfe\0"),
    "calling behind spaces": body(calling=b"             RAW"),
    "calling in Latin-1": body(calling="RÖNTGEN".encode("latin-1").ljust(16)),
    "calling with controls": body(calling=b"RAW\r\n\x1b[2J".ljust(16)),
    "called padded with NUL": body(called=b"CXR_TRIAGE".ljust(16, b"\0")),
    "called all NUL": body(called=bytes(16)),
    "unknown user item": with_user(item(0x5F, b"vendor")),
    "user item of type 0": with_user(item(0x00, b"")),
    "unknown item": body(DICOM + item(0x99, b"something") + GOOD + item(0x50, USER)),
    "version name of 17": with_user(item(0x55, b"VENDOR_1.2.3.4567")),
    "version name of 300, not ASCII": with_user(item(0x55, b"\xff" * 300)),
    "empty version name": with_user(item(0x55, b"")),
    "class UID that is none": body(DICOM + GOOD + item(0x50, item(0x52, b"not a UID"))),
    "maximum length of two bytes": body(DICOM + GOOD + item(0x50, item(0x51, b"\0\0"))),
    "user item beyond its end": body(DICOM + GOOD + item(0x50, USER + b"\x55\x00\xff\xff")),
    "no user information": body(DICOM + GOOD),
    "role of nothing": with_user(item(0x54, b"")),
    "role that is cut": with_user(item(0x54, b"\x00\xffabc")),
    "a window of three bytes": with_user(item(0x53, b"\0\0\1")),
    "an empty identity": with_user(item(0x58, b"")),
    "application context padded": body(item(0x10, b"1.2.840.10008.3.1.1.1\0") + GOOD + item(0x50, USER)),
    "zeros behind": body() + bytes(3),
    "protocol version 0": body(version=0),
    "context without a transfer syntax": beside(context(3, abstract(DX.encode()))),
    "context without anything": beside(context(3)),
    "context of no bytes": beside(item(0x20, b"")),
    "context of three bytes": beside(item(0x20, b"\3\0\0")),
    "abstract syntax of 65 digits": beside(context(3, abstract(b"1.2." + b"3" * 61), transfer())),
    "abstract syntax that is a name": beside(context(3, abstract(b"DOE^JANE"), transfer())),
    "abstract syntax that is empty": beside(context(3, abstract(b""), transfer())),
    "two abstract syntaxes": beside(context(3, abstract(DX.encode()), abstract(FIND.encode()), transfer())),
    "transfer syntax that is a name": beside(context(3, abstract(DX.encode()), transfer(b"DOE^JANE"))),
    "item beyond its context": beside(context(3, b"\x30\x00\xff\xff1.2")),
    "even identifier": beside(context(2, abstract(DX.encode()), transfer())),
    "identifier 0": beside(context(0, abstract(DX.encode()), transfer())),
    "identifier twice": beside(*[context(3, abstract(DX.encode()), transfer(each)) for each in (b"1.2", b"1.3")]),
    "a bad syntax beside the good": body(
        DICOM + context(1, abstract(DX.encode()), transfer(b"DOE^JANE"), transfer()) + item(0x50, USER)
    ),
    "syntaxes padded": body(
        DICOM + context(1, abstract(DX.encode() + b"\0"), transfer(EXPLICIT.encode() + b" ")) + item(0x50, USER)
    ),
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_listener(Spool.open(tmp_path_factory.mktemp("odd") / "spool")) as running:
        yield running


@pytest.mark.parametrize("request_body", TAKEN.values(), ids=TAKEN.keys())
def test_what_does_not_matter_is_taken(ours: Running, request_body: bytes, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    sent = a_data_set()
    with RawPeer(ours.port) as peer:
        peer.send_pdu(0x01, request_body)
        kind, answer = peer.receive()
        assert kind == ACCEPT
        assert answer[4:68] == request_body[4:68]  # PS3.8 table 9-17: as they were received
        read = A_ASSOCIATE_AC()
        read.decode(struct.pack(">BxL", kind, len(answer)) + answer)  # as another toolkit reads it
        assert {each.context_id for each in read.presentation_context if each.result == 0} == {1}
        peer.send_store(DX, sent.SOPInstanceUID, encoded(sent))
        assert peer.status() == 0x0000
        (instance,) = (each for each in ours.inbox if each.sop_instance_uid == sent.SOPInstanceUID)
        assert read_receipt(ours.spool.inbox_path(instance)).calling_ae_title in ("RAW", "", "R?NTGEN", "RAW??\x3f[2J")
    assert "DOE" not in caplog.text


def test_each_context_that_cannot_be_used_is_rejected_alone_counted_and_named(
    spool: Spool, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "triage")
    others = (
        context(3, abstract(FIND.encode()), transfer()),
        context(5, abstract(DX.encode()), transfer(b"1.2.3.99")),
        context(7, abstract(DX.encode())),
        context(9, b"\x30\x00\xff\xff"),
        context(10, abstract(DX.encode()), transfer()),
        context(11, abstract(b"DOE^JANE"), transfer()),
    )
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.send_pdu(0x01, beside(*others))
        kind, answer = peer.receive()
        read = A_ASSOCIATE_AC()
        read.decode(struct.pack(">BxL", kind, len(answer)) + answer)
        results = {each.context_id: each.result for each in read.presentation_context}

        assert results == {1: 0, 3: 3, 5: 4, 7: 4, 9: 2, 10: 2, 11: 3}
        for why, count in (
            (ContextRejection.ABSTRACT_SYNTAX, 2),
            (ContextRejection.TRANSFER_SYNTAXES, 2),
            (ContextRejection.MALFORMED, 2),
        ):
            assert ours.counted("presentation_contexts_rejected_total", reason=why) == count
    assert FIND in caplog.text
    assert "DOE" not in caplog.text


@pytest.mark.parametrize(
    "settings, request_body, reason",
    [
        ({"require_called_ae_title": True}, body(called=bytes(16)), Rejection.CALLED_AE_TITLE),
        ({"calling_ae_titles": ("MY_PACS",)}, body(calling=bytes(16)), Rejection.CALLING_AE_TITLE),
        ({"calling_ae_titles": ("MY_PACS",)}, body(calling=b" " * 16), Rejection.CALLING_AE_TITLE),
        ({}, body(GOOD + item(0x50, USER)), Rejection.OTHER),
        ({}, body(item(0x10, b"1.2.3") + GOOD), Rejection.OTHER),
    ],
)
def test_a_name_that_is_missing_is_not_let_in_where_names_count(
    spool: Spool, settings: dict[str, object], request_body: bytes, reason: Rejection
):
    with running_listener(spool, **settings) as ours, RawPeer(ours.port) as peer:
        peer.send_pdu(0x01, request_body)

        assert peer.receive()[0] == REJECT
        assert ours.counted("associations_rejected_total", reason=reason) == 1


MALFORMED = {
    "nothing": b"",
    "67 bytes": body()[:67],
    "item beyond the end": body(DICOM + b"\x20\x00\xff\xff"),
    "half an item": body(DICOM + b"\x20\x00\x01"),
}


@pytest.mark.parametrize("request_body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_cannot_be_read_is_aborted_and_counted(ours: Running, request_body: bytes):
    before = ours.counted("association_requests_failed_total", why=NoRequest.MALFORMED)
    with RawPeer(ours.port) as peer:
        peer.send_pdu(0x01, request_body)

        assert peer.receive() == (ABORT, bytes([0, 0, 2, 6]))
        wait_for(
            lambda: ours.counted("association_requests_failed_total", why=NoRequest.MALFORMED) == before + 1,
            "the count",
        )


def test_another_protocol_and_a_hang_up_are_counted_apart(spool: Spool):
    with running_listener(spool) as ours:
        with RawPeer(ours.port) as peer:
            peer.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert peer.receive()[0] == ABORT
        RawPeer(ours.port).socket.close()
        with RawPeer(ours.port) as peer:
            peer.socket.sendall(struct.pack(">BxL", 0x01, 200) + bytes(100))
        for why in (NoRequest.NOT_DICOM, NoRequest.SILENT, NoRequest.LOST):
            wait_for(lambda why=why: ours.counted("association_requests_failed_total", why=why) == 1, why)


def test_the_field_cases_are_taken(ours: Running, triage_data: Path):
    files = sorted((triage_data / "field-cases").glob("M0*.pdu"))
    assert files
    for file in files:
        with RawPeer(ours.port) as peer:
            peer.socket.sendall(file.read_bytes())
            assert peer.receive()[0] == ACCEPT, file.name
