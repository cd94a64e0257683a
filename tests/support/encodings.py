"""One picture in every transfer syntax that DCMTK, pydicom and imagecodecs write, as MONOCHROME1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)

from tests.support.dicom_senders import run
from tests.support.real_radiographs import Sent, read, written
from triage.dicom.dx_image import DXDescription, dx_image, part10

LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K})

DCMTK_WRITES: dict[str, tuple[str, ...]] = {
    ImplicitVRLittleEndian: ("dcmconv", "+ti"),
    ExplicitVRBigEndian: ("dcmconv", "+tb"),
    DeflatedExplicitVRLittleEndian: ("dcmconv", "+td"),
    RLELossless: ("dcmcrle",),
    JPEGLosslessSV1: ("dcmcjpeg", "+e1"),
    JPEGLossless: ("dcmcjpeg", "+el"),
    JPEGBaseline8Bit: ("dcmcjpeg", "+eb", "+q", "95"),
    JPEGExtended12Bit: ("dcmcjpeg", "+ee", "+q", "95"),
    JPEGLSLossless: ("dcmcjpls", "+el"),
    JPEGLSNearLossless: ("dcmcjpls", "+en", "+md", "2"),
}
PYDICOM_WRITES: dict[str, dict[str, Any]] = {
    RLELossless: {},
    JPEGLSLossless: {},
    JPEGLSNearLossless: {"jls_error": 2},
    JPEG2000Lossless: {},
    JPEG2000: {"j2k_cr": [10]},
}
IMAGECODECS_WRITES = (HTJ2KLossless, HTJ2K)


@dataclass(frozen=True)
class Encoding:
    """Who encodes what: a transfer syntax, and whether bright means little signal (MONOCHROME1)."""

    writer: str
    syntax: UID
    inverted: bool

    @property
    def lossy(self) -> bool:
        return self.syntax in LOSSY


def encodings(bits: int) -> Iterator[Encoding]:
    """Every encoding of a picture of 8 or 12 bits; uncompressed MONOCHROME2 first."""
    for inverted in (False, True):
        yield Encoding("ours", ExplicitVRLittleEndian, inverted)
        for writer, syntaxes in (
            ("dcmtk", DCMTK_WRITES),
            ("pydicom", PYDICOM_WRITES),
            ("imagecodecs", IMAGECODECS_WRITES),
        ):
            for syntax in syntaxes:
                if not (syntax == JPEGBaseline8Bit and bits != 8):
                    yield Encoding(writer, UID(syntax), inverted)


def encode(pixels: npt.NDArray[Any], bits: int, encoding: Encoding, folder: Path) -> Sent:
    """``pixels`` (rows, columns) of ``bits`` as a DX file of an adult's PA, a study of its own."""
    name = f"{encoding.writer}-{encoding.syntax}-{bits}-{'1' if encoding.inverted else '2'}"
    plain, target = folder / f"{name}-plain.dcm", folder / f"{name}.dcm"
    plain.write_bytes(part10(_dataset(pixels, bits, encoding.inverted)))
    if encoding.writer == "dcmtk":
        tool, *options = DCMTK_WRITES[encoding.syntax]
        done = run(tool, *options, plain, target)
        assert done.returncode == 0, done.stderr
    else:
        dataset = read(plain)
        if encoding.writer == "pydicom":
            dataset.compress(encoding.syntax, generate_instance_uid=False, **PYDICOM_WRITES[encoding.syntax])
        elif encoding.writer == "imagecodecs":
            frame = imagecodecs.htj2k_encode(dataset.pixel_array, reversible=not encoding.lossy)
            dataset.PixelData = encapsulate([frame])
            dataset.file_meta.TransferSyntaxUID = encoding.syntax
        written(dataset, target)
    made = read(target)
    assert made.file_meta.TransferSyntaxUID == encoding.syntax
    # dcmcjpeg gives a lossy image a UID of its own, as it has to.
    return Sent(target, str(made.StudyInstanceUID), str(made.SOPInstanceUID))


def _dataset(pixels: npt.NDArray[Any], bits: int, inverted: bool) -> Dataset:
    shown = np.asarray((1 << bits) - 1 - pixels, dtype=pixels.dtype) if inverted else pixels
    description = DXDescription(generate_uid(), generate_uid(), generate_uid(), age="050Y", view="PA")
    dataset = dx_image(shown, bits, description)
    if inverted:
        dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        dataset.PixelIntensityRelationshipSign = 1
    return dataset
