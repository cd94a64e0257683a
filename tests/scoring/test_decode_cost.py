"""The cost of a decoding, estimated from the header of an object, and the objects that a batch does not wait for."""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.support.dicom_peer import DX, a_data_set, encoded
from triage.dicom.part10 import Receipt, data_set_in, header
from triage.runtime.child_pool import DecodePool
from triage.runtime.decode_scheduler import HEAVY, DecodeScheduler
from triage.scoring.decode_cost import estimate_cost
from triage.scoring.worker import split_ready
from triage.spool.spool import Spool

RECEIPT = Receipt(1.0, "CT7", "CXR_TRIAGE", "10.1.2.3")


def stored(spool: Spool, syntax: str, rows: int, columns: int) -> bytes:
    dataset = a_data_set(Rows=rows, Columns=columns, SamplesPerPixel=1)
    data = encoded(dataset, syntax)
    if syntax == DeflatedExplicitVRLittleEndian:
        import zlib

        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = packer.compress(data) + packer.flush()
    return header(DX, str(dataset.SOPInstanceUID), syntax, RECEIPT) + data


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_the_cost_is_by_rows_and_columns_in_every_encoding(spool: Spool, syntax: str) -> None:
    path = spool.root / "object.dcm"
    path.write_bytes(stored(spool, syntax, 2000, 3000))
    light = estimate_cost(path)
    assert light.sender == "CT7@10.1.2.3"
    assert 100 << 20 < light.memory < HEAVY
    path.write_bytes(stored(spool, syntax, 10_000, 10_000))
    assert estimate_cost(path).memory > 2 << 30


@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(10_000)])
def test_what_cannot_be_read_costs_little(spool: Spool, content: bytes) -> None:
    path = spool.root / "object.dcm"
    path.write_bytes(content)
    assert estimate_cost(path).memory < HEAVY
    assert estimate_cost(spool.root / "gone.dcm").memory < HEAVY


def test_an_object_whose_receipt_a_disk_altered_costs_what_it_takes(spool: Spool) -> None:
    path = spool.root / "object.dcm"
    content = stored(spool, ExplicitVRLittleEndian, 10_000, 10_000)
    path.write_bytes(content)
    expected = estimate_cost(path)
    path.write_bytes(content.replace(b'{"received_at"', b'}"received_at"'))
    altered = estimate_cost(path)
    assert (altered.memory, altered.sender) == (expected.memory, "")


def test_an_object_whose_elements_are_not_in_order_costs_what_it_takes(spool: Spool) -> None:
    path = spool.root / "object.dcm"
    pixels = pack("<HH2sxxL", 0x7FE0, 0x0010, b"OB", 0)
    content = stored(spool, ExplicitVRLittleEndian, 10_000, 10_000)
    head = len(content) - len(data_set_in(content))
    path.write_bytes(content[:head] + pixels + content[head:])
    assert estimate_cost(path).memory > 2 << 30


def test_more_pixels_than_are_decoded_cost_nothing(spool: Spool) -> None:
    path = spool.root / "object.dcm"
    path.write_bytes(stored(spool, ExplicitVRLittleEndian, 60_000, 60_000))
    assert estimate_cost(path).memory < HEAVY


@dataclass(eq=False)
class FakeDecode:
    is_ready: bool
    scheduler: DecodeScheduler


def test_what_takes_longer_than_the_rest_of_its_batch_is_not_waited_for() -> None:
    scheduler = DecodeScheduler(DecodePool(1, 1.0), 1, 1)  # of which nothing is started
    started = [("slow", FakeDecode(False, scheduler)), ("done", FakeDecode(True, scheduler))]
    ready, slow = split_ready(started, 0.01)  # type: ignore[arg-type]
    assert ready == started[1:]
    assert slow == started[:1]
