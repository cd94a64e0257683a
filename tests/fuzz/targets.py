"""What is fuzzed: for each way in, seeds and a function that raises for nothing but a defect of ours."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import ssl
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
)

from tests.fuzz.http_requests import http_requests
from tests.fuzz.http_requests import requests as requests_of_http
from tests.fuzz.pixel_data import objects, pixel_data
from tests.support.certificates import authority, client_context
from tests.support.dicom_peer import DX, UNENCAPSULATED, a_data_set, associate_rq, command, encoded
from tests.support.proxy_headers import NOOP, checked, local, value
from tests.support.proxy_headers import header as header_of_proxy
from triage.dicom.association_request import MalformedRequestError, read_request
from triage.dicom.byte_source import MemorySource
from triage.dicom.data_set import read_header, survey_file
from triage.dicom.file_meta import read_file_meta
from triage.dicom.header_scan import read_identity, read_work
from triage.dicom.part10 import Receipt, header
from triage.dicom.peer_address import plain
from triage.dicom.proxy_header import FIXED_LENGTH, HeaderFault, parse, rest_length
from triage.dicom.tls import ServerTLS
from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.dicom.upper_layer import UpperLayerConnection
from triage.dicom.upper_layer_tls import SecureConnection
from triage.hl7.mllp_frames import Frames, TooLongError
from triage.inbound_reports.message import MalformedError, header_of, orders_of
from triage.listener.admission import AdmissionPolicy
from triage.listener.association import Association, LocalNode
from triage.listener.negotiation import accept, supported_contexts
from triage.listener.storage import StorageTarget, StorageTargets
from triage.metrics.listener import ListenerMetrics
from triage.radiograph.decode import TRANSFER_SYNTAXES, open_dicom
from triage.radiograph.deflated import check_deflated
from triage.radiograph.jpeg import jpeg_header, jpeg_ls_header
from triage.radiograph.jpeg2000 import check_jpeg2000
from triage.radiograph.png import check_png
from triage.radiograph.types import Rejected
from triage.radiograph.undecodable import UndecodableError
from triage.report_labeller.reports import ReportError, read_report_table
from triage.runtime.proxy_protocol import ProxyProtocol
from triage.spool.spool import Spool
from triage.spool.usage import HighWater
from triage.validation.cohort.manifest import ManifestError, read_manifest
from triage.web.api.ups_rs import parse_data_set
from triage.web.api.worklist import BadRequestError
from triage.worklist import workitem_content, workitem_state
from triage.worklist.workitem_state import RefusedError, WorkitemState

RECEIPT = Receipt(1.0, "FUZZ", "CXR_TRIAGE", "127.0.0.1")


@dataclass(frozen=True)
class Target:
    """One way in. ``each_test``: mutations that every run of the tests tries."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    each_test: int


# The upper layer: a whole conversation, on a socket, to a spool.


class _DefectError(AssertionError):
    """The association ended by an exception that nobody expected."""


class _Alarm(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Errors of an association are defects of ours; whatever a peer does is a warning."""
        if record.levelno >= logging.ERROR:
            raise _DefectError(record.getMessage())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        raise


@cache
def _node() -> LocalNode:
    for name in ("triage.listener.association", "triage.listener.dimse"):
        logger = logging.getLogger(name)
        logger.addHandler(_Alarm())
        logger.propagate = False
    spool = Spool.open(Path(tempfile.mkdtemp(prefix="fuzz-")) / "spool")
    return LocalNode(
        targets=StorageTargets(StorageTarget(spool, ListenerMetrics(CollectorRegistry())), HighWater(1.0, 0)),
        admission=AdmissionPolicy("CXR_TRIAGE"),
        supported=supported_contexts(TRANSFER_SYNTAXES),
        max_pdu=16384,
        timeout_s=5.0,
        on_received=lambda instance: None,
        take_slot=lambda association: None,
    )


def upper_layer(data: bytes) -> None:
    """All that a peer sends, at once, and then it sends no more."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.settimeout(5)
        with suppress(TimeoutError):
            theirs.sendall(data[: 1 << 16])
        theirs.shutdown(socket.SHUT_WR)
        connection = UpperLayerConnection(_NoTCP(fileno=ours.detach()), 16384, 5.0)
        Association(connection, "127.0.0.1", _node(), 5.0).serve()
    _cleared()


def _cleared() -> None:
    spool = _node().targets.patients.spool
    for folder in (spool.quarantined, spool.inbox, spool.incoming):
        for path in folder.iterdir():
            if path.is_file():
                path.unlink()


class _NoTCP(socket.socket):
    """A socket of a pair, which knows no option of TCP."""

    def setsockopt(self, level: int, *rest: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *rest)


@cache
def _tls() -> tuple[ServerTLS, ssl.SSLContext]:
    """Of us, and of a peer that knows us."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    ca = authority(folder)
    ours = ca.certificate("ours")
    return ServerTLS(ours.path, ours.key), client_context(ca.path)


def behind_tls(data: bytes) -> None:
    """What a peer sends to a port with TLS: in place of a handshake, or behind one."""
    handshake = bool(data and data[0] & 1)
    server, client = _tls()

    def send(theirs: socket.socket) -> None:
        with suppress(OSError):
            if handshake:
                theirs = client.wrap_socket(theirs, server_hostname="127.0.0.1")
            theirs.sendall(data[1:])
            theirs.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while theirs.recv(1 << 16):
                """Whatever is answered."""
        theirs.close()

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.settimeout(5)
    peer = threading.Thread(target=send, args=(theirs,))
    peer.start()
    secure = SecureConnection(_NoTCP(fileno=ours.detach()), 16384, 5.0, server.context)
    Association(secure, "127.0.0.1", _node(), 5.0).serve()
    peer.join()
    _cleared()


def secured() -> list[bytes]:
    """Conversations behind a handshake, a handshake's first message, and what is none."""
    hello, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = _tls()[1].wrap_bio(there, hello, server_hostname="127.0.0.1")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return [*(b"\1" + each for each in conversations()), b"\0" + hello.read(), b"\0" + conversations()[0]]


# In front of the upper layer and of MLLP: the header of a TCP proxy.


def proxy_header(data: bytes) -> None:
    """A proxy's connection is a peer's or closed, and what follows its header is left where it is."""
    faults: list[HeaderFault] = []
    rules = ProxyProtocol.of(["10.0.0.5"], faults.append)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.sendall(data[: 1 << 16])
        theirs.shutdown(socket.SHUT_WR)
        peer = rules.peer(ours, "10.0.0.5")
        if peer is None:
            assert len(faults) <= 1
            return
        assert not faults and plain(peer) == ip_address(peer)
        length = FIXED_LENGTH + rest_length(data[:FIXED_LENGTH])
        named = parse(data[:length]).address
        assert peer in (named, "10.0.0.5") and (peer == named or not named or ip_address(named).is_loopback)
        assert b"".join(iter(lambda: ours.recv(1 << 16), b"")) == data[length : 1 << 16]


def proxied() -> list[bytes]:
    values = value(NOOP, b"pad") + value(0x05, b"id")
    request = conversations()[0]
    return [
        header_of_proxy("10.1.2.3", values=values) + request,
        header_of_proxy("2001:db8::7") + request,
        checked("10.1.2.3", values),
        local(values) + request,
        local(),
        request,
    ]


def _pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def _pdv(context: int, control: int, data: bytes) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context, control) + data


def conversations() -> list[bytes]:
    small = a_data_set(PixelData=bytes(64))
    request = _pdu(
        0x01, associate_rq([(1, DX, [ExplicitVRLittleEndian]), (3, "1.2.840.10008.1.1", ["1.2.840.10008.1.2"])], "FUZZ")
    )
    echo = _pdu(0x04, _pdv(3, 3, command(0x0030, "1.2.840.10008.1.1", "", has_data_set=False)))
    store = _pdu(0x04, _pdv(1, 3, command(0x0001, DX, str(small.SOPInstanceUID))))
    data = _pdu(0x04, _pdv(1, 0, encoded(small)[:100]) + _pdv(1, 2, encoded(small)[100:]))
    release, abort = _pdu(0x05, bytes(4)), _pdu(0x07, bytes(4))
    return [request + echo + release, request + store + data + release, request + store + abort, request, store]


def association_request(data: bytes) -> None:
    """A request is refused in one way, or answered with what can be read."""
    try:
        request = read_request(data)
    except MalformedRequestError:
        return
    answer = accept(request, supported_contexts(TRANSFER_SYNTAXES), 16384).answer
    assert len(answer) == 6 + struct.unpack_from(">L", answer, 2)[0]
    read_request(answer[6:])


def requests() -> list[bytes]:
    contexts = [(number, DX, list(UNENCAPSULATED)) for number in (1, 3, 5)]
    return [associate_rq(contexts, "FUZZ"), associate_rq([], "")]


# Data sets.


def header_scan(data: bytes) -> None:
    """Listener, worker and delivery read a data set, none of them raises, and they agree on which object it is."""
    syntax = UNENCAPSULATED[data[0] % len(UNENCAPSULATED)] if data else ExplicitVRLittleEndian
    identity = read_identity(BytesIO(data[1:]), syntax)
    file = header(identity.sop_class_uid, identity.sop_instance_uid, syntax, RECEIPT) + data[1:]
    source = MemorySource(file)
    read_work(source, read_file_meta(source))
    found = survey_file(source)
    assert found is None or found.elements is not None
    opened = open_dicom(file)
    if isinstance(opened, Rejected) or not identity.sop_instance_uid:
        return
    with suppress(InvalidUIDError):  # the listener puts it into quarantine, and no worker sees it
        valid_uid(identity.study_instance_uid)
        assert opened[1].study_instance_uid in ("", identity.study_instance_uid)
    with suppress(Exception):  # as its callers do: a file that is none
        read_header(BytesIO(file))


def data_sets() -> list[bytes]:
    item = Dataset()
    item.AccessionNumber = "17"
    dataset = a_data_set(
        PixelData=bytes(64), Rows=8, Columns=4, SamplesPerPixel=1, BitsAllocated=16, RequestAttributesSequence=[item]
    )
    seeds = [bytes([number]) + encoded(dataset, syntax) for number, syntax in enumerate(UNENCAPSULATED[:3])]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return [*seeds, b"\3" + packer.compress(encoded(dataset)) + packer.flush()]


# Codestreams, before a decoder sees them.

_FRONTS: tuple[Callable[[bytes], object], ...] = (
    jpeg_header,
    jpeg_ls_header,
    check_jpeg2000,
    check_png,
    check_deflated,
)


def decoders_front(data: bytes) -> None:
    """What looks at a codestream first says that it is none, in one way."""
    for front in _FRONTS:
        with suppress(UndecodableError, zlib.error):
            front(data)


def codestreams() -> list[bytes]:
    import imagecodecs
    import numpy as np

    image = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    grey = (image % 256).astype(np.uint8)
    return [
        bytes(imagecodecs.jpeg8_encode(grey)),
        bytes(imagecodecs.ljpeg_encode(image, bitspersample=12)),
        bytes(imagecodecs.jpegls_encode(image)),
        bytes(imagecodecs.jpeg2k_encode(image, codecformat="j2k")),
        bytes(imagecodecs.png_encode(grey)),
        data_sets()[3],
    ]


# HL7.


def hl7_in(data: bytes) -> None:
    """A stream of frames, cut where it may be; each message is understood or malformed."""
    frames = Frames(1 << 16)
    step = data[0] + 1 if data else 1
    messages: list[bytes] = [data]
    with suppress(TooLongError):
        for at in range(0, len(data), step):
            messages += frames.feed(data[at : at + step])
    for message in messages:
        with suppress(MalformedError):
            found = header_of(message)
            orders_of(message, found.kind, found.character_set)


def messages() -> list[bytes]:
    message = (
        b"MSH|^~\\&|RIS|HOSPITAL|CXR|HOSPITAL|20260101120000||ORU^R01^ORU_R01|17|P|2.5.1|||AL|NE||8859/1\r"
        b"PID|1||4711^^^HOSPITAL^MR||DOE^JANE\rORC|SC|A17|F17\r"
        b"OBR|1|A17|F17|71046^CHEST||||||||||||||||||20260101||||F||||||||MILLER\r"
        b"OBX|1|ST|110180^Study Instance UID^DCM||1.2.3||||||F\r"
    )
    orm = message.replace(b"ORU^R01^ORU_R01", b"ORM^O01")
    return [b"\x0b" + message + b"\x1c\r", b"\x0b" + orm + b"\x1c\r", message.replace(b"\r", b"\r\n")]


# DICOM JSON of UPS-RS.


def ups_json(data: bytes) -> None:
    """A body is refused in one of two ways, or changes a workitem to one that can be read again."""
    with suppress(BadRequestError, RefusedError):
        given = Dataset.from_json(parse_data_set(data, True))
        workitem_content.conforms(given)
        uid, wanted = str(given.get("TransactionUID") or ""), str(given.get("ProcedureStepState") or "")
        for state in (WorkitemState(), WorkitemState(state=workitem_state.IN_PROGRESS, transaction_uid=uid)):
            for change in (
                partial(workitem_state.change, state, wanted, uid, 1.0, False),
                partial(workitem_state.cancel, state, given, 1.0, False),
                partial(workitem_state.update, state, given.to_json_dict(), uid, 1.0),
            ):
                with suppress(RefusedError):
                    Dataset.from_json(change().attributes)


def bodies() -> list[bytes]:
    given = Dataset()
    given.ProcedureStepState, given.TransactionUID = "IN PROGRESS", "1.2.3"
    item = Dataset()
    item.ActualHumanPerformersSequence = [Dataset()]
    given.UnifiedProcedureStepPerformedProcedureSequence = [item]
    given.PatientName, given.StudyInstanceUID = "DOE^JANE", "1.2"
    return [given.to_json().encode(), f"[{given.to_json()}]".encode(), b"{}", json.dumps({"00741000": {}}).encode()]


# Tables.


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "a.png").write_bytes(b"a")
    return folder


def tables(data: bytes) -> None:
    """A table is read, or refused in words."""
    for name in ("table.csv", "table.csv.gz"):
        path = _folder() / name
        path.write_bytes(data if name.endswith(".csv") else gzip.compress(data, 1))
        for read in (read_manifest, read_report_table):
            with suppress(ManifestError, ReportError):
                read(path)


def csvs() -> list[bytes]:
    manifest = b"image,label,patient,split,fold,view,age,sex,source\na.png,1,p1,test,0,PA,54,F,x\n"
    return [manifest, b'id,report\n1,"No pneumonia,\nnone"\n', b"\xef\xbb\xbf" + manifest]


TARGETS = {
    "upper_layer": Target(upper_layer, conversations, 300),
    "behind_tls": Target(behind_tls, secured, 200),
    "proxy_header": Target(proxy_header, proxied, 2000),
    "association_request": Target(association_request, requests, 2000),
    "header_scan": Target(header_scan, data_sets, 400),
    "decoders_front": Target(decoders_front, codestreams, 2000),
    "pixel_data": Target(pixel_data, objects, 200),
    "hl7_in": Target(hl7_in, messages, 500),
    "http_requests": Target(http_requests, requests_of_http, 500),
    "ups_json": Target(ups_json, bodies, 500),
    "tables": Target(tables, csvs, 500),
}
