"""Small files that are much work: what is decoded is bounded by what the object says of its image."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from triage.decision.reasons import Reason
from triage.dicom.byte_source import InflatedSource, MemorySource
from triage.dicom.data_set import survey_file
from triage.radiograph import samples
from triage.radiograph.decode import decode_pixels, open_dicom
from triage.radiograph.types import Rejected

MEGABYTE = 1 << 20


def an_image(syntax: str, rows: int, columns: int, **more: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = generate_uid(), generate_uid()
    dataset.AccessionNumber = "A17"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


def part10(dataset: Dataset, syntax: str, encode: object = None) -> bytes:
    """The data set as a file; ``encode`` makes its bytes others."""
    body = DicomBytesIO()
    body.is_implicit_VR, body.is_little_endian = False, True
    write_dataset(body, dataset)
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = UID(syntax), "1.2.3"
    head = BytesIO()
    write_file_meta_info(head, meta)
    content = body.getvalue()
    return bytes(128) + b"DICM" + head.getvalue() + (encode(content) if callable(encode) else content)


def deflated_and_zeros(megabytes: int) -> object:
    """Deflate a data set, and behind it so many zeros, by one block that is repeated: no memory is needed for them."""

    def encode(content: bytes) -> bytes:
        packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        start = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
        block = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
        return start + block * megabytes + packer.flush()

    return encode


def a_deflate_bomb(rows: int, columns: int, stated_megabytes: int, megabytes: int) -> bytes:
    def encode(content: bytes) -> bytes:
        head = struct.pack("<HH2sxxL", 0x7FE0, 0x0010, b"OW", stated_megabytes * MEGABYTE)
        return deflated_and_zeros(megabytes)(content + head)  # type: ignore[operator]

    return part10(an_image("", rows, columns), DeflatedExplicitVRLittleEndian, encode)


@pytest.mark.parametrize("stated", [300, 2000, 4095])
def test_a_deflated_data_set_is_inflated_by_what_its_image_needs(stated: int) -> None:
    file = a_deflate_bomb(512, 512, stated, 300)
    found = survey_file(MemorySource(file))
    assert found is not None
    assert isinstance(found.source, InflatedSource)
    assert found.source.size() < 3 * MEGABYTE
    opened = open_dicom(file)
    assert not isinstance(opened, Rejected)
    dataset, attributes = opened
    assert attributes.accession_number == "A17"
    rejected = decode_pixels(dataset, attributes)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.UNDECODABLE


def test_runs_of_zeros_in_what_is_deflated_are_not_unpacked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored blocks of zeros: each run is looked at, and all that stands before it was unpacked for each."""
    block = struct.pack("<BHH", 0, 1000, 0xFFFF ^ 1000) + bytes(1000)

    def encode(content: bytes) -> bytes:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH) + block * 3000 + b"\3\0"

    file = part10(an_image("", 512, 512), DeflatedExplicitVRLittleEndian, encode)
    fed: list[int] = []
    original = zlib.decompressobj

    class Counting:
        def __init__(self, wbits: int) -> None:
            self._inner = original(wbits)

        def decompress(self, data: bytes, *most: int) -> bytes:
            fed.append(len(data))
            return self._inner.decompress(data, *most)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

    monkeypatch.setattr("triage.radiograph.deflated.zlib.decompressobj", Counting)
    open_dicom(file)
    assert sum(fed) < 4 * len(file)


def empty_codestream(syntax: str, side: int) -> bytes:
    empty = np.zeros((side, side), np.uint16)
    if syntax == JPEGLSLossless:
        return bytes(imagecodecs.jpegls_encode(empty))
    return bytes(imagecodecs.jpeg2k_encode(empty, codecformat="j2k"))


def why_undecoded(file: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the reason why the image is refused, before any decoder is called."""
    monkeypatch.setattr(samples, "_by_pydicom", _unwanted)
    opened = open_dicom(file)
    assert not isinstance(opened, Rejected)
    rejected = decode_pixels(*opened)
    assert isinstance(rejected, Rejected)
    return rejected.detail


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_large_image_in_next_to_no_bytes_is_not_decoded(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_LARGE", 1000)
    frame = empty_codestream(syntax, 512)
    file = part10(an_image(syntax, 512, 512, PixelData=encapsulate([frame])), syntax)
    assert "so empty" in why_undecoded(file, monkeypatch)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_codestream_larger_than_its_object_says_is_not_decoded(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = empty_codestream(syntax, 512)
    file = part10(an_image(syntax, 64, 64, PixelData=encapsulate([frame])), syntax)
    assert "Rows and Columns say otherwise" in why_undecoded(file, monkeypatch)


def an_rle_frame(*segments: bytes) -> bytes:
    starts = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    return struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(segments))) + b"".join(segments)


def an_rle_file(*segments: bytes, side: int = 64) -> bytes:
    pixels = encapsulate([an_rle_frame(*segments)])
    return part10(an_image(RLELossless, side, side, PixelData=pixels), RLELossless)


FLAT = b"\x81\0" * 32  # 64 x 64 bytes


@pytest.mark.parametrize(
    "segments",
    [
        (b"\x81\0" * 100_000, FLAT),  # 13 MB of 200 kB; of 100 MB they were 6 GB and a minute
        (FLAT, b"\x81\0" * 100_000),
        (FLAT, FLAT + b"\x81\0"),
        (FLAT, b"\x80" * 1_000_000 + FLAT),
        (FLAT, b"\0\0" * 4097),
    ],
)
def test_an_rle_segment_is_unpacked_by_what_its_image_needs(
    segments: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "more bytes than the image has pixels" in why_undecoded(an_rle_file(*segments), monkeypatch)


def test_an_rle_segment_may_be_written_as_badly_as_can_be() -> None:
    for segment in (FLAT, FLAT + b"\0", b"\x80" * 64 + FLAT, b"\0\0" * 4096, (b"\x7f" + bytes(128)) * 32):
        opened = open_dicom(an_rle_file(segment, FLAT))
        assert not isinstance(opened, Rejected)
        decoded = decode_pixels(*opened)
        assert not isinstance(decoded, Rejected) or "RLE" not in decoded.detail, segment[:4]


def test_more_elements_than_any_object_has_are_not_read() -> None:
    element = struct.pack("<HH2sH", 0x0009, 0x1000, b"LO", 0)
    file = part10(an_image("", 64, 64), "1.2.840.10008.1.2.1", lambda content: element * 300_000 + content)
    opened = open_dicom(file)
    assert isinstance(opened, Rejected) or opened[1].damage


def _unwanted(*_: object) -> None:
    raise AssertionError("it was decoded")
