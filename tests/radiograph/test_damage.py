"""Damaged images in every encoding: none is scored that is cut, has a hole, or lost or zeroed a part."""

from __future__ import annotations

from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest

from tests.support.damaged import DAMAGES, ENCODINGS, FLIPPED, UNPROVABLE, Pixels, damaged
from tests.support.radiographs import a_picture
from triage.decision.reasons import Reason
from triage.radiograph.decode import decode_picture, decode_pixels, is_picture, open_dicom
from triage.radiograph.types import Radiograph, Rejected

SIDE = 192
COPIES = 6  # of each encoding, with each damage


def read(file: bytes) -> Radiograph | Rejected:
    if is_picture(file):
        return decode_picture(file)
    opened = open_dicom(file)
    return opened if isinstance(opened, Rejected) else decode_pixels(*opened)


def scored(file: bytes, encoding: str, kind: str, copies: int) -> list[int]:
    """Return which damaged copies of a file are decoded; the damage is seeded by encoding, kind and number."""
    found = []
    for number in range(copies):
        copy = damaged(file, DAMAGES[kind], Random(f"{encoding}, {kind}, {number}"))
        assert copy != file
        result = read(copy)
        if isinstance(result, Radiograph):
            found.append(number)
        else:
            assert result.reason is Reason.UNDECODABLE
    return found


PROVABLE = [(encoding, kind) for encoding in ENCODINGS for kind in DAMAGES if (encoding, kind) not in UNPROVABLE]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_intact_image_is_what_it_was_in_every_encoding(encoding: str) -> None:
    picture = a_picture(12, SIDE, SIDE)
    found = read(ENCODINGS[encoding](picture))
    assert isinstance(found, Radiograph)
    if "colour" not in encoding:
        assert np.abs(found.pixels - picture / 4095).max() < 0.12  # the lossy ones; a wrong tile is farther


@pytest.mark.parametrize(("encoding", "kind"), PROVABLE)
def test_no_damaged_phantom_is_scored(encoding: str, kind: str) -> None:
    assert scored(ENCODINGS[encoding](a_picture(12, SIDE, SIDE)), encoding, kind, COPIES) == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_damaged_radiograph_is_scored(triage_data: Path, encoding: str) -> None:
    file = ENCODINGS[encoding](a_radiograph(triage_data))
    assert isinstance(read(file), Radiograph)
    for kind in DAMAGES:
        if (encoding, kind) not in UNPROVABLE:
            assert scored(file, encoding, kind, COPIES) == [], kind


def a_radiograph(triage_data: Path) -> Pixels:
    """A real one at 512 pixels, spread over 12 bits."""
    path = min((triage_data / "nih-chestxray14" / "originals").glob("*.png"))
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    grey = cv2.resize(image, (512, 512), interpolation=cv2.INTER_AREA)
    fine = np.random.default_rng(1).integers(0, 16, grey.shape)
    return np.where(grey > 0, grey.astype(np.uint16) * 16 + fine, 0).astype(np.uint16)


@pytest.mark.parametrize("encoding", ["PNG, 8 bits", "PNG, 16 bits"])
def test_where_there_are_check_sums_no_flipped_bit_is_scored(encoding: str) -> None:
    file = ENCODINGS[encoding](a_picture(12, SIDE, SIDE))
    for number in range(50):
        assert isinstance(read(damaged(file, FLIPPED, Random(number))), Rejected)
