"""The studies of ``make run``: phantoms drawn by code, or real radiographs if there are any."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from triage.phantom import chest as phantom

_PICTURES = 12


@dataclass(frozen=True)
class SampleFile:
    """A file to send, with view and age (years) if it is a picture."""

    path: Path
    view: str | None = None
    age: int | None = None


def write_phantoms(folder: Path) -> list[SampleFile]:
    """Draw the sample studies into ``folder`` as DICOM files."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[SampleFile] = []
    for sample in phantom.samples():
        for number, content in enumerate(sample.files, start=1):
            path = folder / f"{sample.name.replace(' ', '-').replace(',', '')}-{number}.dcm"
            path.write_bytes(content)
            files.append(SampleFile(path))
    return files


def real_radiographs(data: Path) -> list[SampleFile]:
    """Return chest radiographs below ``data``: DICOM files, and pictures with their view and age."""
    files = [SampleFile(path) for path in sorted((data / "dicom" / "cr-dx-chest").glob("*.dcm"))]
    files += islice(_adults(data / "nih-chestxray14"), _PICTURES)
    files += [SampleFile(path) for path in sorted((data / "wcmc-pediatric" / "images" / "test").rglob("*.jpeg"))[:2]]
    return files


def _adults(folder: Path) -> Iterator[SampleFile]:
    manifest = folder / "manifest.csv"
    if not manifest.exists():
        return
    with manifest.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "expert":
                yield SampleFile(folder / row["image"], row["view"], int(float(row["age"])))
