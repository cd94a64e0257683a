"""Chest phantoms as DICOM images: drawn by code, of no patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from triage.dicom.dx_image import DXDescription, dx_image, part10
from triage.dicom.uid import uid_of
from triage.phantom.anatomy import Build, Grey, frontal, lateral

BITS = 12
Pixels = npt.NDArray[np.uint16]

_HEIGHT_MM = 400.0


@dataclass(frozen=True)
class PhantomSubject:
    """Attributes of a phantom; ``age`` as in DICOM (AS), ``study`` a name for the study that it belongs to."""

    view: str = "PA"
    age: str = "050Y"
    accession: str = ""
    priority: str = ""
    study: str = ""
    number: int = 1
    for_processing: bool = False


@dataclass(frozen=True)
class Sample:
    """One generated study: its name and its DICOM files."""

    name: str
    files: tuple[bytes, ...]


def draw(seed: int, *, rows: int = 1024, columns: int = 1024, opacity: bool = False, child: bool = False) -> Pixels:
    """Draw a frontal chest, uint16 (rows, columns) with 12 bits used, dense tissue bright.

    The same arguments draw the same chest. ``opacity`` adds a consolidation to one lung; ``child`` draws the wide chest
    and heart of a small child.
    """
    rng = np.random.default_rng(seed)
    middle, width, depth = rng.normal((0.5, 1.0, 1.0), (0.01, 0.03, 0.03))
    build = Build(
        middle=float(middle),
        width=float(width) * (1.1 if child else 1.0),
        depth=float(depth) * (1.1 if child else 1.0),
        heart=1.2 if child else 1.0,
        child=child,
        opacity=0.3 if opacity else 0.0,
    )
    return _exposed(frontal(build), rows, columns, rng)


def draw_lateral(seed: int, *, rows: int = 1024, columns: int = 1024) -> Pixels:
    """Draw a lateral chest, like ``draw``."""
    return _exposed(lateral(Build()), rows, columns, np.random.default_rng(seed))


def as_dicom(pixels: Pixels, subject: PhantomSubject) -> bytes:
    """Return the phantom as a DX file with attributes that mark it as a phantom."""
    study = uid_of("phantom", subject.study or pixels.tobytes())
    description = DXDescription(
        study_instance_uid=study,
        series_instance_uid=uid_of(study, "series", str(subject.for_processing)),
        sop_instance_uid=uid_of(study, pixels.tobytes(), repr(subject)),
        patient_name="PHANTOM^CHEST",
        patient_id="PHANTOM",
        age=subject.age,
        view=subject.view,
        accession_number=subject.accession,
        priority=subject.priority,
        acquired=("20260101", "120000"),
        instance_number=subject.number,
        for_processing=subject.for_processing,
    )
    dataset = dx_image(pixels, BITS, description)
    dataset.QualityControlImage = "YES"
    dataset.ImageComments = "Phantom drawn by code; no patient"
    dataset.Manufacturer = "CXR triage phantoms"
    dataset.ImagerPixelSpacing = [_HEIGHT_MM / pixels.shape[0]] * 2
    return part10(dataset)


def samples() -> Iterator[Sample]:
    """Yield the studies of a first run: some to score, some to refuse, and one of two images."""
    yield _sample("adult", draw(1), PhantomSubject(accession="PHANTOM-1"))
    sick = PhantomSubject(age="067Y", accession="PHANTOM-2", priority="ROUTINE")
    yield _sample("adult with an opacity", draw(2, opacity=True), sick)
    front = as_dicom(draw(3), PhantomSubject(age="035Y", accession="PHANTOM-3", study="two views"))
    side = PhantomSubject("LL", "035Y", "PHANTOM-3", study="two views", number=2)
    yield Sample("adult, two views", (front, as_dicom(draw_lateral(3), side)))
    yield _sample("child of 3 years", draw(4, child=True), PhantomSubject("AP", "003Y", "PHANTOM-4"))
    yield _sample("age unknown", draw(5), PhantomSubject(age="", accession="PHANTOM-5"))
    yield _sample("for processing", draw(6), PhantomSubject(accession="PHANTOM-6", for_processing=True))


def _sample(name: str, pixels: Pixels, subject: PhantomSubject) -> Sample:
    return Sample(name, (as_dicom(pixels, subject),))


def _exposed(image: Grey, rows: int, columns: int, rng: np.random.Generator) -> Pixels:
    """Return stored values of a drawing: resized, with detector noise, 12 bits."""
    grey = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_CUBIC)
    grey = grey + rng.normal(0, 0.008, (rows, columns)).astype(np.float32)
    highest = (1 << BITS) - 1
    return np.asarray(np.clip(0.04 + 0.95 * grey, 0, 1) * highest, dtype=np.uint16)
