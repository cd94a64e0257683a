"""Deflated data sets: zeros that no deflating wrote."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.support.radiographs import a_dataset, a_picture, as_file, attempted, encoded
from triage.radiograph.deflated import check_deflated
from triage.radiograph.types import Radiograph
from triage.radiograph.undecodable import UndecodableError


def test_an_image_mostly_black_deflates_to_zeros_that_are_meant() -> None:
    black = np.zeros((3000, 2500), dtype=np.uint16)
    black[1400:1500] = np.random.default_rng(2).integers(0, 4096, (100, 2500))
    file = as_file(a_dataset(black, 12), DeflatedExplicitVRLittleEndian)
    assert bytes(1000) in file
    check_deflated(file)
    assert isinstance(attempted(file), Radiograph)


@pytest.mark.parametrize("length", [64, 100, 1000])
@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_zeroed_bytes_are_found(length: int, at: float) -> None:
    file = encoded(a_dataset(a_picture(12, 256, 256), 12), DeflatedExplicitVRLittleEndian)
    where = int(len(file) * at)
    with pytest.raises((UndecodableError, zlib.error)):
        check_deflated(file[:where] + bytes(length) + file[where + length :])
    check_deflated(file)
