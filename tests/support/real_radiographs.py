"""Real radiographs as DICOM files, each copy with UIDs of its own so that tests can share a service."""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from triage.dicom.dx_image import part10
from triage.sender.picture import wrap

ADULTS, CHILDREN = 8, 2


@dataclass(frozen=True)
class Sent:
    """A DICOM file, and the study and object that it is."""

    path: Path
    study: str
    sop: str


def real_chests(data: Path, folder: Path) -> list[Sent]:
    """The chest radiographs of ``data``: its DICOM files, and NIH and WCMC pictures wrapped as DX."""
    files = [fresh(path, folder) for path in sorted((data / "dicom" / "cr-dx-chest").glob("*.dcm"))]
    files += [wrapped(row["path"], folder, row["view"], row["age"]) for row in adults(data, ADULTS)]
    children = sorted((data / "wcmc-pediatric" / "images" / "test").rglob("*.jpeg"))[:CHILDREN]
    return files + [wrapped(path, folder, "AP", 3) for path in children]


def adults(data: Path, count: int) -> list[dict[str, Any]]:
    """Frontal pictures of adults from NIH: ``path``, ``view`` and ``age``."""
    folder = data / "nih-chestxray14"
    with (folder / "manifest.csv").open(newline="") as file:
        rows = (row for row in csv.DictReader(file) if row["split"] == "expert" and float(row["age"]) >= 18)
        return [
            {"path": folder / row["image"], "view": row["view"], "age": int(float(row["age"]))}
            for row in islice(rows, count)
        ]


def wrapped(picture: Path, folder: Path, view: str | None, age: int | None) -> Sent:
    """A picture as a DX file."""
    path = folder / f"{picture.stem}.dcm"
    path.write_bytes(part10(wrap(picture.read_bytes(), view, age)))
    return fresh(path, folder)


def fresh(source: Path, folder: Path, **changes: Any) -> Sent:
    """A copy of ``source`` under new UIDs, in its own transfer syntax, with the attributes ``changes``."""
    dataset = read(source)
    new = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "SOPInstanceUID": generate_uid()}
    return written(dataset, folder / f"{source.stem}-{new['SOPInstanceUID'][-12:]}.dcm", **{**new, **changes})


def written(dataset: FileDataset, path: Path, **changes: Any) -> Sent:
    """``dataset`` with ``changes`` as the file ``path``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # real files hold values that pydicom finds odd
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path, enforce_file_format=True)
    return Sent(path, str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID))


def read(path: Path) -> FileDataset:
    """A DICOM file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(path)
