"""The proof that a lossless JPEG is whole: intact ones are proven, and none that libjpeg warns of."""

from __future__ import annotations

import struct
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest

from triage.radiograph import jpeg
from triage.radiograph.jpeg import EOI, decode_jpeg, jpeg_header
from triage.radiograph.lossless_bits import LosslessScan, lossless_scan, needs_every_bit
from triage.radiograph.types import Array
from triage.radiograph.undecodable import UndecodableError

SIDE = 96
DAMAGES = 1500


def grainy(bits: int, seed: int = 1, grain: int = 24) -> Array:
    """Return a smooth image with grain."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    middle = 1 << (bits - 1)
    smooth = middle + 0.6 * min(middle, 2048) * np.sin(rows / 30) * np.cos(columns / 25)
    noise = np.random.default_rng(seed).normal(0, grain, smooth.shape)
    pixels: Array = np.clip(smooth + noise, 0, (1 << bits) - 1).astype(np.uint16)
    return pixels


def encoded(pixels: Array, bits: int, predictor: int = 1) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits))


def scan_of(codestream: bytes) -> LosslessScan | None:
    header = jpeg_header(codestream)
    end = codestream.rindex(EOI)
    return lossless_scan(codestream, jpeg._segments(codestream), header.precision, end)


def is_proven(codestream: bytes) -> bool:
    """True if the codestream is taken without the strict decoder."""
    header = jpeg_header(codestream)
    return jpeg._proven_whole(codestream, header, jpeg._end_of_image(codestream, header.scan_at)) is not None


def is_refused_strictly(codestream: bytes) -> bool:
    header = jpeg_header(codestream)
    try:
        jpeg._decoded_strictly(codestream, header, jpeg._end_of_image(codestream, header.scan_at))
    except UndecodableError:
        return True
    return False


@pytest.mark.parametrize("bits", range(9, 17))
def test_an_intact_image_is_proven_and_decoded_once(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = grainy(bits)
    codestream = encoded(pixels, bits)
    assert is_proven(codestream)
    monkeypatch.delattr("simplejpeg.decode_jpeg")
    assert np.array_equal(decode_jpeg(codestream)[0], pixels)


def test_differences_of_half_the_range_have_a_category_without_further_bits() -> None:
    pixels = grainy(16)
    pixels[40, 41] = (int(pixels[40, 40]) + 32768) % 65536
    codestream = encoded(pixels, 16)
    assert is_proven(codestream)
    assert np.array_equal(decode_jpeg(codestream)[0], pixels)


@pytest.mark.parametrize("predictor", range(2, 8))
def test_other_predictors_are_left_to_the_strict_decoder(predictor: int) -> None:
    pixels = grainy(12)
    codestream = encoded(pixels, 12, predictor)
    assert scan_of(codestream) is None
    assert np.array_equal(decode_jpeg(codestream)[0], pixels)


def test_a_flat_border_at_the_end_is_left_to_the_strict_decoder() -> None:
    pixels = grainy(12)
    pixels[-20:] = 0
    codestream = encoded(pixels, 12)
    assert not is_proven(codestream)
    assert np.array_equal(decode_jpeg(codestream)[0], pixels)


def test_restarts_and_doubtful_tables_are_left_to_the_strict_decoder() -> None:
    codestream = encoded(grainy(12), 12)
    assert scan_of(codestream) is not None
    restarts = codestream[:2] + b"\xff\xdd\x00\x04\x00\x60" + codestream[2:]
    assert scan_of(restarts) is None
    table = codestream.index(b"\xff\xc4") + 5
    for symbol in (17, codestream[table + 16 + 1]):  # none that there is, and one that another code has too
        changed = bytearray(codestream)
        changed[table + 16] = symbol
        assert scan_of(bytes(changed)) is None


def damaged(codestream: bytes, begin: int, rng: np.random.Generator) -> bytes:
    """Return the codestream with one of the damages that occur, behind the header and before the end marker."""
    changed = bytearray(codestream)
    at = int(rng.integers(begin, len(changed) - 40))
    size = int(rng.choice([1, 2, 4, 30]))
    kind = int(rng.integers(6))
    if kind == 0:
        changed[at : at + size] = bytes(size)
    elif kind == 1:
        changed[at : at + size] = rng.bytes(size)
    elif kind == 2:
        del changed[at : at + size]
    elif kind == 3:
        changed[at:at] = changed[at - size : at]
    elif kind == 4:
        changed[at : at + size] = b"\xff\x00" * -(-size // 2)
    else:
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def test_what_libjpeg_warns_of_is_never_proven() -> None:
    rng = np.random.default_rng(2)
    refused = 0
    for number in range(DAMAGES):
        codestream = encoded(grainy(12, number % 7, grain=(2, 24, 50)[number % 3]), 12)
        scan = scan_of(codestream)
        assert scan is not None
        broken = damaged(codestream, scan.begin, rng)
        if is_refused_strictly(broken):
            refused += 1
            assert not is_proven(broken)
    assert refused > DAMAGES // 2


def stuffed(bits: str) -> bytes:
    """Return bits as the bytes of a scan: filled with ones, each byte FF followed by a zero."""
    filled = bits + "1" * (-len(bits) % 8)
    return int(filled, 2).to_bytes(len(filled) // 8, "big").replace(b"\xff", b"\xff\x00")


def written(differences: list[int], codes: dict[int, tuple[int, int]]) -> list[str]:
    """Return the bits of each difference."""
    found = []
    for each in differences:
        category = abs(each).bit_length()
        code, length = codes[category]
        value = each if each > 0 else each + (1 << category) - 1
        found.append(f"{code:0{length}b}" + (f"{value:0{category}b}" if category else ""))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_wrong_code_that_a_missing_end_makes_up_for_is_not_proven(seed: int) -> None:
    pixels = grainy(12, seed)
    codestream = encoded(pixels, 12)
    scan = scan_of(codestream)
    assert scan is not None
    flat = pixels.astype(np.int32)
    differences = np.diff(flat, axis=1, prepend=np.concatenate([[[2048]], flat[:-1, :1]]))
    bits = written(differences.ravel().tolist(), dict(scan.codes))
    whole = "".join(bits)
    assert codestream[scan.begin : scan.end] == stuffed(whole)
    rng = np.random.default_rng(seed)
    at = int(rng.choice([number for number, each in enumerate(differences.ravel()) if each == 0]))
    bits[at] = "1" * 17  # a code that is in no table: libjpeg takes it for no difference
    broken = codestream[: scan.begin] + stuffed("".join(bits)[: len(whole)]) + EOI
    assert is_refused_strictly(broken)
    assert not is_proven(broken)
    with pytest.raises(UndecodableError):
        decode_jpeg(broken)
    forged = imagecodecs.jpeg8_decode(broken)
    assert np.array_equal(forged.ravel()[: at + 1], pixels.ravel()[: at + 1])


def test_a_scan_of_other_pixels_is_not_proven() -> None:
    pixels = grainy(12)
    codestream = encoded(pixels, 12)
    scan = scan_of(codestream)
    assert scan is not None
    other = pixels.copy()
    other[-1, -1] ^= 1
    assert needs_every_bit(pixels, codestream, scan)
    assert not needs_every_bit(other, codestream, scan)
    assert not needs_every_bit(pixels, codestream, replace(scan, end=scan.end - 1))


def test_a_precision_that_the_pixels_do_not_have_is_not_proven() -> None:
    codestream = bytearray(encoded(grainy(12), 12))
    header = jpeg_header(bytes(codestream))
    assert struct.unpack_from(">B", codestream, header.precision_at) == (12,)
    codestream[header.precision_at] = 16
    assert is_proven(bytes(codestream)) == (not is_refused_strictly(bytes(codestream)))
