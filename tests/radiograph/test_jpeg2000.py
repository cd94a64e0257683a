"""JPEG 2000: the lengths of tile-parts lead from the header to the end, and zeros give themselves away."""

from __future__ import annotations

import struct
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.support.radiographs import a_picture
from triage.radiograph.jpeg2000 import check_jpeg2000
from triage.radiograph.undecodable import SeveralImagesError, UndecodableError


def pillow(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint16]] | None = None, **options: object) -> bytes:
    buffer = BytesIO()
    image = a_picture(16, 300, 200) if pixels is None else pixels
    Image.fromarray(image).save(buffer, "JPEG2000", **{"no_jp2": True, **options})
    return buffer.getvalue()


def single_tile() -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(a_picture(12), codecformat="j2k", bitspersample=12, reversible=True))


def test_the_header_says_size_depth_and_tiles() -> None:
    header = check_jpeg2000(single_tile())
    assert (header.rows, header.columns, header.components, header.precision) == (96, 80, 1, 12)
    assert not header.is_signed and header.tiles == 1
    tiled = check_jpeg2000(pillow(tile_size=(64, 64)))
    assert (tiled.rows, tiled.columns, tiled.precision, tiled.tiles) == (300, 200, 16, 20)
    assert check_jpeg2000(pillow(no_jp2=False)) == check_jpeg2000(pillow())  # in the boxes of a JP2 file


def test_a_tile_is_bounded_by_the_packets_that_it_can_have() -> None:
    assert check_jpeg2000(pillow(num_resolutions=3)).packets == 3
    assert check_jpeg2000(pillow(num_resolutions=3, quality_layers=(8, 4, 2))).packets == 9
    assert check_jpeg2000(pillow(num_resolutions=3, precinct_size=(64, 64))).packets > 3 * 4


def test_a_black_image_of_empty_packets_is_whole() -> None:
    """OpenJPEG writes a packet of nothing as 0x80, others as 0x00; a decoder must take both (B.10.3)."""
    black = np.zeros((2000, 2000), dtype=np.uint16)
    written = pillow(black, quality_layers=(40, 20, 10, 5), precinct_size=(128, 128), progression="LRCP")
    at = written.index(b"\xff\x93") + 2
    empty = written[:at] + written[at:].replace(b"\x80", b"\0")
    assert bytes(100) in empty
    assert not imagecodecs.jpeg2k_decode(empty).any()
    assert check_jpeg2000(empty).rows == 2000


@pytest.mark.parametrize("tile_size", [None, (64, 64)])
def test_any_lost_bytes_are_missed(tile_size: tuple[int, int] | None) -> None:
    codestream = pillow(tile_size=tile_size) if tile_size else single_tile()
    start = codestream.index(b"\xff\x90")
    for at in range(start, len(codestream) - 4, 97):
        for broken in (codestream[:at], codestream[:at] + b"\xff\xd9", codestream[:at] + codestream[at + 3 :]):
            with pytest.raises(UndecodableError):
                check_jpeg2000(broken)


def test_a_lost_tile_is_missed() -> None:
    codestream = pillow(tile_size=(128, 128))
    first = codestream.index(b"\xff\x90\x00\x0a")
    (length,) = struct.unpack_from(">L", codestream, first + 6)
    for broken in (
        codestream[:first] + codestream[first + length :],
        codestream[: codestream.rindex(b"\xff\x90\x00\x0a")] + b"\xff\xd9",
    ):
        with pytest.raises(UndecodableError, match="missing"):
            check_jpeg2000(broken)


def test_zeros_that_no_encoder_writes_are_damage() -> None:
    codestream = single_tile()
    at = len(codestream) // 2
    with pytest.raises(UndecodableError, match="zero bytes"):
        check_jpeg2000(codestream[:at] + bytes(80) + codestream[at + 80 :])


def test_a_tile_part_to_the_end_need_not_say_how_long_it_is() -> None:
    codestream = bytearray(single_tile())
    at = codestream.index(b"\xff\x90\x00\x0a")
    codestream[at + 6 : at + 10] = bytes(4)
    assert check_jpeg2000(bytes(codestream)) == check_jpeg2000(single_tile())


def test_a_second_codestream_behind_the_first_is_found() -> None:
    with pytest.raises(SeveralImagesError):
        check_jpeg2000(single_tile() + single_tile())
    assert check_jpeg2000(single_tile() + bytes(700)).rows == 96


@pytest.mark.parametrize("data", [b"", b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x51" + bytes(100), b"text" * 9])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        check_jpeg2000(data)
