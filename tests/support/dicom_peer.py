"""A listener of our own on a free port, and what tests send to it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)
from pynetdicom import AE
from pynetdicom.association import Association

from tests.support.wait import wait_for
from triage.listener import server as listener
from triage.listener.settings import ListenerSettings
from triage.listener.storage import CanaryRoute, StorageTarget, StorageTargets, uncounted_target
from triage.metrics.listener import ListenerMetrics
from triage.queue.score_queue import Queued
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.usage import HighWater
from triage.spool.validation_partition import VALIDATION

DX = DigitalXRayImageStorageForPresentation
AE_TITLE = "CXR_TRIAGE"
UNENCAPSULATED = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
"""Transfer syntaxes of the four ways in which a data set itself is written."""


@dataclass
class Running:
    """A listener that runs in a thread."""

    spool: Spool
    registry: CollectorRegistry
    stop: threading.Event = field(default_factory=threading.Event)
    enqueued: list[Queued] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def inbox(self) -> list[ReceivedInstance]:
        return sorted(self.spool.waiting())

    @property
    def parts(self) -> list[Path]:
        return list(self.spool.incoming.iterdir())

    def counted(self, name: str, **labels: str) -> float:
        """The value of one of our metrics; 0 if it was never touched."""
        return self.registry.get_sample_value(f"cxr_triage_{name}", labels) or 0.0

    def data_set(self, instance: ReceivedInstance) -> bytes:
        """The data set as it lies in the inbox."""
        return data_set_of(self.spool.inbox_path(instance).read_bytes())


@contextmanager
def running_listener(
    spool: Spool,
    enqueue: Any = None,
    high_water: HighWater | None = None,
    validation: Spool | None = None,
    canary: CanaryRoute | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """A listener on a free port of 127.0.0.1, stopped at the end."""
    registry = CollectorRegistry()
    run = Running(spool, registry)
    section = ListenerSettings(**{"port": 0, "network_timeout_s": 30.0, "shutdown_grace_s": 10.0, **settings})
    targets = StorageTargets(
        StorageTarget(spool, ListenerMetrics(registry)),
        high_water or HighWater(1.0, 0),
        {section.validation_ae_title: uncounted_target(validation, VALIDATION)} if validation else {},
        canary or CanaryRoute(),
    )
    arguments = (section, targets, enqueue or run.enqueued.append, run.stop.is_set, run.ports.append)
    thread = threading.Thread(target=listener.run, args=arguments)
    thread.start()
    try:
        expected = 1 + (settings.get("tls_port") is not None and not settings.get("tls_only"))
        wait_for(lambda: len(run.ports) == expected or not thread.is_alive(), "the listener")
        yield run
    finally:
        run.stop.set()
        thread.join()


def a_data_set(**changes: Any) -> Dataset:
    """A small DX object; ``None`` leaves an attribute out."""
    dataset = Dataset()
    values = {
        "SOPClassUID": DX,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientName": "DOE^JANE",
        "Modality": "DX",
        "PixelData": bytes(range(256)) * 64,
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    return dataset


def encoded(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set's bytes, without any header; not deflated."""
    syntax = UID(transfer_syntax)
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    write_dataset(stream, dataset)
    return stream.getvalue()


def as_file(dataset: Dataset, path: Path, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """The data set as a DICOM file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.save_as(path, enforce_file_format=True)
    return path


def data_set_of(part10: bytes) -> bytes:
    """What follows the File Meta Information."""
    (length,) = struct.unpack("<L", part10[140:144])
    return part10[144 + length :]


def read(path: Path) -> Dataset:
    """The file's data set, without its pixels' decoding."""
    return dcmread(BytesIO(path.read_bytes()))


@contextmanager
def association(
    port: int, calling: str = "MODALITY", contexts: Any = None, called: str = AE_TITLE
) -> Iterator[Association]:
    """An association of pynetdicom's to the listener, released at the end if it still stands."""
    ae = AE(calling)
    for abstract_syntax, transfer_syntaxes in contexts or [(DX, [ExplicitVRLittleEndian]), ("1.2.840.10008.1.1", None)]:
        ae.add_requested_context(abstract_syntax, transfer_syntaxes or ["1.2.840.10008.1.2"])
    made = ae.associate("127.0.0.1", port, ae_title=called)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


def store(port: int, *datasets: Dataset, **names: Any) -> list[int]:
    """The statuses that C-STOREs of ``datasets`` over one association get; -1 for none."""
    with association(port, **names) as made:
        assert made.is_established
        return [made.send_c_store(with_meta(dataset)).get("Status", -1) for dataset in datasets]


def with_meta(dataset: Dataset) -> Dataset:
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


class RawPeer:
    """A peer that writes what it likes on a plain socket."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=60)

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def associate(
        self, transfer_syntax: str = ExplicitVRLittleEndian, calling: str = "RAW", called: str = AE_TITLE
    ) -> tuple[int, bytes]:
        """Ask for DX in context 1 and Verification in context 3; the answer's PDU type and body."""
        contexts = [(1, DX, [transfer_syntax]), (3, "1.2.840.10008.1.1", ["1.2.840.10008.1.2"])]
        self.send_pdu(0x01, associate_rq(contexts, calling, called))
        return self.receive()

    def send_pdu(self, kind: int, body: bytes) -> None:
        self.socket.sendall(struct.pack(">BxL", kind, len(body)) + body)

    def send_fragment(self, context_id: int, control: int, data: bytes) -> None:
        self.send_pdu(0x04, struct.pack(">LBB", len(data) + 2, context_id, control) + data)

    def send_store(
        self, sop_class: str, sop_instance: str, data_set: bytes, context_id: int = 1, size: int = 16000
    ) -> None:
        """A whole C-STORE request in fragments of ``size`` bytes."""
        self.send_fragment(context_id, 0x03, command(0x0001, sop_class, sop_instance))
        for start in range(0, len(data_set), size):
            last = start + size >= len(data_set)
            self.send_fragment(context_id, 0x02 if last else 0x00, data_set[start : start + size])

    def receive(self) -> tuple[int, bytes]:
        """The next PDU's type and body; (0, b"") when the listener has closed."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxL", head)
        return kind, self._exactly(length)

    def status(self) -> int:
        """The status of the response that comes next."""
        kind, body = self.receive()
        assert kind == 0x04, (kind, body)
        return response_status(body[6:])

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (piece := self.socket.recv(count - len(data))):
            data += piece
        return data


def associate_rq(contexts: list[tuple[int, str, list[str]]], calling: str, called: str = AE_TITLE) -> bytes:
    """The body of an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    items = item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, abstract, transfers in contexts:
        syntaxes = item(0x30, abstract.encode()) + b"".join(item(0x40, uid.encode()) for uid in transfers)
        items += item(0x20, bytes([number, 0, 0, 0]) + syntaxes)
    items += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4"))
    return b"\x00\x01\x00\x00" + called.ljust(16).encode() + calling.ljust(16).encode() + bytes(32) + items


def command(field_value: int, sop_class: str, sop_instance: str, has_data_set: bool = True) -> bytes:
    """A request's command set (PS3.7 9.3.1)."""
    elements = [
        (0x0002, sop_class.encode()),
        (0x0100, struct.pack("<H", field_value)),
        (0x0110, struct.pack("<H", 7)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", 0x0001 if has_data_set else 0x0101)),
        (0x1000, sop_instance.encode()),
    ]
    body = b"".join(_command_element(number, value) for number, value in elements if value)
    return _command_element(0x0000, struct.pack("<L", len(body))) + body


def response_status(command_set: bytes) -> int:
    """(0000,0900) of a command set."""
    start = 0
    while start < len(command_set):
        group, number, length = struct.unpack_from("<HHL", command_set, start)
        if (group, number) == (0x0000, 0x0900):
            return int(struct.unpack_from("<H", command_set, start + 8)[0])
        start += 8 + length
    raise AssertionError("a response without a status")


def item(kind: int, body: bytes) -> bytes:
    """An item of an association PDU (PS3.8 9.3.2.1 and following)."""
    return struct.pack(">BxH", kind, len(body)) + body


def _command_element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value
