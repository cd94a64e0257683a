"""PNG: check sums of chunks and pixels."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.radiographs import a_picture
from triage.radiograph.png import SIGNATURE, check_png
from triage.radiograph.undecodable import UndecodableError


def png(*options: int) -> bytes:
    return cv2.imencode(".png", a_picture(16), [*options])[1].tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))


def with_pixels(*contents: bytes) -> bytes:
    """A PNG of 4 by 4 grey pixels with these IDAT chunks, each with a right check sum."""
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", 4, 4, 8, 0, 0, 0, 0))
    return SIGNATURE + header + b"".join(chunk(b"IDAT", content) for content in contents) + chunk(b"IEND", b"")


ROWS = zlib.compress(bytes(range(20)), 0)


def test_whole_ones_pass() -> None:
    check_png(png())
    check_png(png(cv2.IMWRITE_PNG_COMPRESSION, 0))
    check_png(with_pixels(ROWS))
    check_png(with_pixels(ROWS[:7], ROWS[7:]))
    check_png(png() + b"what a camera appends")
    check_png(cv2.imencode(".png", np.dstack([a_picture(8)] * 4))[1].tobytes())
    buffer = BytesIO()
    Image.fromarray(a_picture(8) > 128).save(buffer, "PNG")  # one bit
    check_png(buffer.getvalue())


def test_a_lost_chunk_is_missed_though_all_others_are_whole() -> None:
    with pytest.raises(UndecodableError, match="not whole"):
        check_png(with_pixels(ROWS[:7]))
    with pytest.raises(UndecodableError, match="damaged"):
        check_png(with_pixels(ROWS[:9], b"changed", ROWS[16:]))
    with pytest.raises(UndecodableError, match="not whole"):
        check_png(with_pixels(ROWS, b"more"))


@pytest.mark.parametrize("at", [0.2, 0.5, 0.99])
def test_a_cut_or_a_changed_byte_is_missed(at: float) -> None:
    data = png()
    where = int(len(data) * at)
    with pytest.raises(UndecodableError):
        check_png(data[:where])
    with pytest.raises(UndecodableError):
        check_png(data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :])


def test_a_small_file_that_unpacks_without_end_is_refused() -> None:
    content = zlib.compress(bytes(20_000_000))
    assert len(content) < 30_000
    with pytest.raises(UndecodableError, match="more pixels than it states"):
        check_png(with_pixels(content))


def test_a_picture_larger_than_any_radiograph_is_refused_before_it_is_unpacked() -> None:
    header = struct.pack(">LLBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    whole = png()
    name = whole.index(b"IHDR")
    start = name + 4
    larger = whole[:start] + header + struct.pack(">L", zlib.crc32(b"IHDR" + header)) + whole[start + 17 :]
    with pytest.raises(UndecodableError, match="40000 rows and 40000 columns are no radiograph"):
        check_png(larger)


def test_the_check_sums_are_those_of_a_real_decoder() -> None:
    assert np.array_equal(cv2.imdecode(np.frombuffer(png(), np.uint8), cv2.IMREAD_UNCHANGED), a_picture(16))
