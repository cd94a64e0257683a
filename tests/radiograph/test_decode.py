"""Decoding of every transfer syntax that is negotiated, of real files, and of broken ones."""

from __future__ import annotations

import csv
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.support.radiographs import (
    LOSSLESS,
    a_dataset,
    a_picture,
    as_file,
    attempted,
    decoded,
    encoded,
    opened,
    sof_of,
)
from triage.decision.reasons import Reason
from triage.radiograph.decode import TRANSFER_SYNTAXES, decode_picture, decode_pixels, open_dicom
from triage.radiograph.eligibility import ineligible
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.preprocess import PreprocessSpec, preprocess
from triage.radiograph.types import Radiograph, Rejected

SPEC = PreprocessSpec(size=64)
FARTHEST = {
    JPEGBaseline8Bit: 0.05,
    JPEGExtended12Bit: 0.005,
    JPEGLSNearLossless: 2.01 / 4095,  # that is what the encoder was asked for
    JPEG2000: 0.02,
    HTJ2K: 0.05,
}
"""How far a pixel between 0 and 1 may be from the uncompressed one, as the lossy encoders are set in these tests."""


def model_input(radiograph: Radiograph) -> np.ndarray[Any, Any]:
    return preprocess(radiograph.pixels, radiograph.valid, SPEC)


def for_syntax(syntax: str, rows: int = 96, columns: int = 80) -> Dataset:
    """A data set whose grey is stored value over greatest value, whatever a lossy codec does to the extremes."""
    bits = 8 if syntax == JPEGBaseline8Bit else 12
    return a_dataset(a_picture(bits, rows, columns), bits, WindowCenter=1 << (bits - 1), WindowWidth=1 << bits)


def dcmtk(command: str, dataset: Dataset, tmp_path: Path, *options: str) -> bytes:
    """The file that one of DCMTK's converters makes of a data set."""
    program, before, after = Path("/usr/bin") / command, tmp_path / "before.dcm", tmp_path / "after.dcm"
    if not program.exists():
        pytest.skip("DCMTK is not installed: apt-get install dcmtk")
    before.write_bytes(as_file(dataset))
    subprocess.run([program, *options, before, after], check=True, capture_output=True, timeout=60)
    return after.read_bytes()


@pytest.mark.parametrize("syntax", [uid for uid in TRANSFER_SYNTAXES if uid not in FARTHEST], ids=lambda u: UID(u).name)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_lossless_transfer_syntax_changes_no_bit_of_the_model_input(syntax: str, bits: int) -> None:
    dataset = a_dataset(a_picture(bits), bits)
    file = encoded(dataset, syntax)
    assert dcmread(BytesIO(file)).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(model_input(decoded(file)), model_input(decoded(dataset)))


@pytest.mark.parametrize("syntax", FARTHEST, ids=lambda u: UID(u).name)
def test_a_lossy_transfer_syntax_stays_within_its_bound(syntax: str) -> None:
    dataset = for_syntax(syntax)
    found, expected = decoded(encoded(dataset, syntax)), decoded(dataset)
    assert 0 < np.abs(found.pixels - expected.pixels).max() <= FARTHEST[syntax]
    assert np.abs(model_input(found) - model_input(expected)).max() <= FARTHEST[syntax] * 1.5 / SPEC.deviation


def test_every_transfer_syntax_is_tested_and_the_codestreams_are_what_they_are_called() -> None:
    lossless = {*LOSSLESS, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
    assert {str(uid) for uid in (*lossless, *FARTHEST)} == set(TRANSFER_SYNTAXES)
    for syntax, marker in ((JPEGBaseline8Bit, 0xC0), (JPEGExtended12Bit, 0xC1), (JPEGLossless, 0xC3)):
        assert sof_of(encoded(for_syntax(syntax), syntax)) == marker
    htj2k = encoded(a_dataset(), HTJ2KLosslessRPCL)
    capabilities, coding_style = htj2k.index(b"\xff\x50"), htj2k.index(b"\xff\x52")
    assert htj2k[capabilities + 4 : capabilities + 8] == struct.pack(">L", 1 << 17)  # Part 15: high throughput
    assert htj2k[coding_style + 5] == 2  # RPCL


@pytest.mark.parametrize(
    ("command", "options", "syntax"),
    [
        ("dcmconv", ["+ti"], ImplicitVRLittleEndian),
        ("dcmconv", ["+tb"], ExplicitVRBigEndian),
        ("dcmconv", ["+td"], DeflatedExplicitVRLittleEndian),
        ("dcmcrle", [], RLELossless),
        ("dcmcjpeg", ["+e1"], JPEGLosslessSV1),
        ("dcmcjpeg", ["+el", "+sv", "2"], JPEGLossless),
        ("dcmcjpeg", ["+el", "+sv", "7"], JPEGLossless),
        ("dcmcjpls", ["+el"], JPEGLSLossless),
        ("dcmcjpls", ["+en", "+md", "3"], JPEGLSNearLossless),
        ("dcmcjpeg", ["+ee", "+q", "95"], JPEGExtended12Bit),
        ("dcmcjpeg", ["+eb", "+q", "95"], JPEGBaseline8Bit),
    ],
)
def test_what_dcmtk_encodes_is_what_it_was(command: str, options: list[str], syntax: str, tmp_path: Path) -> None:
    dataset = for_syntax(syntax)
    file = dcmtk(command, dataset, tmp_path, *options)
    assert dcmread(BytesIO(file)).file_meta.TransferSyntaxUID == syntax
    difference = np.abs(decoded(file).pixels - decoded(dataset).pixels).max()
    bounds = {JPEGLSNearLossless: 3.01 / 4095, JPEGExtended12Bit: 0.01, JPEGBaseline8Bit: 0.05}
    assert difference <= bounds.get(UID(syntax), 0)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless],
    ids=lambda u: UID(u).name,
)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_signed_pixels_keep_their_sign(syntax: str, bits: int) -> None:
    plain = a_picture(bits)
    half = 1 << (bits - 1)
    signed = (plain.astype(np.int32) - half).astype(np.int8 if bits == 8 else np.int16)
    window = {"WindowCenter": 0, "WindowWidth": 1 << bits}
    found = decoded(encoded(a_dataset(signed, bits, **window), syntax))
    expected = decoded(a_dataset(plain, bits, WindowCenter=half, WindowWidth=1 << bits))
    assert np.array_equal(found.pixels, expected.pixels)


def test_an_overlay_in_the_unused_bits_is_not_image() -> None:
    overlaid = a_picture(12) | np.uint16(0x8000)
    assert np.array_equal(decoded(a_dataset(overlaid, 12)).pixels, decoded(a_dataset()).pixels)
    codestream = imagecodecs.jpeg8_encode(overlaid, lossless=True, predictor=1, bitspersample=16)
    compressed = as_file(a_dataset(overlaid, 12, PixelData=encapsulate([bytes(codestream)])), JPEGLosslessSV1)
    assert np.array_equal(decoded(compressed).pixels, decoded(a_dataset()).pixels)


def test_a_lossy_codec_that_overshoots_white_does_not_come_round_to_black() -> None:
    edges = np.where(np.indices((64, 64)).sum(0) % 9 < 4, 1023, 0).astype(np.uint16)  # 10 bits in a 12-bit codestream
    dataset = a_dataset(edges, 10, WindowCenter=512, WindowWidth=1024)
    dataset.PixelData = encapsulate([imagecodecs.jpeg8_encode(edges, level=80, bitspersample=12)])
    assert imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(edges, level=80, bitspersample=12)).max() > 1023
    found = decoded(as_file(dataset, JPEGExtended12Bit))
    assert found.pixels[edges == 1023].min() > 0.8


def test_a_codestream_in_several_fragments_is_one_image() -> None:
    dataset = a_dataset()
    whole = dcmread(BytesIO(encoded(dataset, JPEGLSLossless)))
    codestream = next(generate_frames(whole.PixelData, number_of_frames=1))
    whole.PixelData = encapsulate([codestream], fragments_per_frame=5)
    assert np.array_equal(decoded(as_file(whole, JPEGLSLossless)).pixels, decoded(dataset).pixels)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless], ids=lambda u: UID(u).name)
def test_padding_behind_a_codestream_is_nothing(syntax: str) -> None:
    padded = dcmread(BytesIO(encoded(a_dataset(), syntax)))
    codestream = next(generate_frames(padded.PixelData, number_of_frames=1))
    padded.PixelData = encapsulate([codestream + b"\0" * 500])
    assert np.array_equal(decoded(as_file(padded, syntax)).pixels, decoded(a_dataset()).pixels)


def test_a_grey_picture_stored_in_colour_is_its_luminance() -> None:
    grey = a_picture(8)
    dataset = a_dataset(np.dstack([grey, grey, grey]), 8, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    dataset.PlanarConfiguration = 0
    assert np.array_equal(decoded(dataset).pixels, grey.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Rows": 0}, "no radiograph"),
        ({"Rows": 60000, "Columns": 60000}, "no radiograph"),
        ({"PixelData": None}, "no Pixel Data"),
        ({"PixelData": b"\0" * 100}, "cannot be decoded"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "32 bits"),
        ({"BitsStored": 17}, "17 bits"),
        ({"HighBit": 15}, "High Bit"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE"),
        ({"PixelRepresentation": None}, "cannot be decoded"),
    ],
)
def test_contradictory_attributes_are_undecodable(changes: dict[str, Any], words: str) -> None:
    rejected = attempted(a_dataset(**changes))
    assert isinstance(rejected, Rejected) and rejected.reason is Reason.UNDECODABLE
    assert words in rejected.detail


def test_a_transfer_syntax_that_nobody_negotiated_is_undecodable() -> None:
    mpeg = a_dataset(PixelData=encapsulate([b"\0" * 64]))
    rejected = attempted(as_file(mpeg, "1.2.840.10008.1.2.4.100"))
    assert isinstance(rejected, Rejected) and "MPEG2" in rejected.detail


@pytest.mark.parametrize("syntax", [*LOSSLESS, *FARTHEST], ids=lambda u: UID(u).name)
def test_an_image_that_is_cut_short_is_undecodable(syntax: str) -> None:
    dataset = dcmread(BytesIO(encoded(for_syntax(syntax), syntax)))
    codestream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([codestream[: len(codestream) * 2 // 3]])
    rejected = attempted(as_file(dataset, syntax))
    assert isinstance(rejected, Rejected) and rejected.reason is Reason.UNDECODABLE


def test_a_codestream_of_another_size_than_the_attributes_is_undecodable() -> None:
    dataset = dcmread(BytesIO(encoded(a_dataset(), JPEGLosslessSV1)))
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows
    rejected = attempted(as_file(dataset, JPEGLosslessSV1))
    assert isinstance(rejected, Rejected) and "codestream" in rejected.detail


@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"no DICOM at all" * 50, b"\0" * 128 + b"DICM"])
def test_what_is_no_dicom_is_undecodable(data: bytes) -> None:
    rejected = open_dicom(data)
    assert isinstance(rejected, Rejected) and rejected.reason is Reason.UNDECODABLE


@pytest.mark.parametrize("implicit", [True, False])
def test_a_bare_data_set_without_file_meta_information_is_read(implicit: bool) -> None:
    buffer = BytesIO()
    dcmwrite(buffer, a_dataset(), implicit_vr=implicit, little_endian=True)
    assert np.array_equal(decoded(buffer.getvalue()).pixels, decoded(a_dataset()).pixels)


@settings(max_examples=150)
@given(st.data())
def test_no_damage_to_a_file_raises(data: st.DataObject) -> None:
    syntax = data.draw(st.sampled_from(TRANSFER_SYNTAXES))
    file = bytearray(_small(syntax))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(132, len(file) - 1))
        file[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.none(), st.integers(0, len(file))))
    found = open_dicom(bytes(file[:end]))
    if isinstance(found, Rejected):
        assert found.reason is Reason.UNDECODABLE
    else:
        result = decode_pixels(*found)
        assert isinstance(result, Radiograph) or result.reason in (Reason.UNDECODABLE, Reason.MULTI_FRAME)


_FILES: dict[str, bytes] = {}


def _small(syntax: str) -> bytes:
    if syntax not in _FILES:
        _FILES[syntax] = encoded(for_syntax(syntax, 40, 40), syntax)
    return _FILES[syntax]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour", [False, True])
def test_a_png_is_shown_as_it_is(bits: int, colour: bool) -> None:
    picture = a_picture(bits)
    image = np.dstack([picture] * 4) if colour else picture
    found = decode_picture(cv2.imencode(".png", image)[1].tobytes())
    assert isinstance(found, Radiograph) and found.valid.all()
    assert np.array_equal(found.pixels, picture.astype(np.float32) / np.float32((1 << bits) - 1))


def test_a_jpeg_is_shown_as_it_is_and_a_cut_one_is_not() -> None:
    picture = a_picture(8)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    found = decode_picture(data)
    assert isinstance(found, Radiograph)
    assert np.abs(found.pixels * 255 - picture).max() <= 16
    for broken in (data[: len(data) // 2], b"\xff\xd8\xff" + b"\0" * 99 + b"\xff\xd9", b"GIF89a"):
        assert isinstance(decode_picture(broken), Rejected)


def test_a_picture_is_turned_as_its_exif_orientation_says() -> None:
    data = cv2.imencode(".png", a_picture(8))[1].tobytes()
    jpeg = cv2.imencode(".jpg", a_picture(8), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    tiff = b"II*\0" + struct.pack("<LHHHLHHL", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # turn right by 90 degrees
    exif = b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff
    turned, upright = decode_picture(jpeg[:2] + exif + jpeg[2:]), decode_picture(data)
    assert isinstance(turned, Radiograph) and isinstance(upright, Radiograph)
    assert np.abs(turned.pixels - np.rot90(upright.pixels, -1)).max() < 0.03


def test_no_value_of_an_attribute_reaches_the_log(tmp_path: Path) -> None:
    name = "SECRET" * 20  # longer than the standard allows, which pydicom warns of
    path = tmp_path / "file.dcm"
    path.write_bytes(as_file(a_dataset(PatientID=name, StudyInstanceUID="1.2.SECRET", PatientAge="SECRET")))
    ran = subprocess.run(
        [sys.executable, "-c", _OPENING, path], capture_output=True, text=True, timeout=120, check=True
    )
    assert "SECRET" not in ran.stderr + ran.stdout


_OPENING = """
import logging, pathlib, sys
from triage.dicom.part10 import read_receipt
from triage.radiograph.decode import open_dicom
logging.basicConfig()
path = pathlib.Path(sys.argv[1])
open_dicom(path.read_bytes())[0].PatientID
read_receipt(path)
"""


# The real files.


def rows_of(triage_data: Path) -> list[dict[str, str]]:
    with (triage_data / "dicom" / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


def expected_reason(row: dict[str, str]) -> Reason | None:
    if row["sop_class"] not in (
        "Computed Radiography Image Storage",
        "Digital X-Ray Image Storage - For Presentation",
    ):
        return Reason.NOT_A_RADIOGRAPH
    return None if row["body_part"] in ("CHEST", "THORAX") else Reason.NOT_CHEST


def test_every_real_file_is_eligible_or_rejected_for_the_right_reason(triage_data: Path) -> None:
    rows = rows_of(triage_data)
    assert len(rows) == 52
    for row in rows:
        dataset, attributes = opened((triage_data / "dicom" / row["file"]).read_bytes())
        refusal = ineligible(attributes, EligibilityPolicy())
        assert (refusal.reason if refusal else None) is expected_reason(row), row["file"]
        if row["rows"] and int(row["rows"]) * int(row["columns"]) < 4_000_000:
            pixels = decode_pixels(dataset, attributes)  # type: ignore[arg-type]
            if row["bits_stored"] == "32":
                assert isinstance(pixels, Rejected) and pixels.reason is Reason.UNDECODABLE
            else:
                assert isinstance(pixels, Radiograph), row["file"]
                assert pixels.pixels.shape == (int(row["rows"]), int(row["columns"]))


@pytest.mark.parametrize("name", ["RG2", "RG3"])
def test_one_real_radiograph_is_the_same_in_seven_transfer_syntaxes(triage_data: Path, name: str) -> None:
    rows = [row for row in rows_of(triage_data) if f"{name}_" in row["file"]]
    assert len({row["transfer_syntax"] for row in rows}) == 8
    files = {row["transfer_syntax"]: (triage_data / "dicom" / row["file"]).read_bytes() for row in rows}
    plain = decoded(files.pop("Explicit VR Little Endian")).pixels
    for syntax, file in files.items():
        difference = np.abs(decoded(file).pixels - plain)
        lossless = syntax in ("RLE Lossless",) or "Lossless" in syntax.replace("Near-Lossless", "")
        assert difference.max() <= (0 if lossless else 0.1), syntax
        assert difference.mean() <= (0 if lossless else 0.01), syntax
