"""The cases of a study: their images, and their columns of the labels file, which readers do not see."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Self, TypedDict

from pydicom import dcmread

from triage.errors import StartError
from triage.runtime.csv_table import read_table
from triage.validation.cohort.manifest import COLUMNS

logger = logging.getLogger(__name__)

_SUFFIXES = frozenset({".dcm", ".dicom", ".png", ".jpg", ".jpeg", ""})
_COPIED_COLUMNS = frozenset({"split", "fold", "view", "age", "sex", "source"})


class CasesError(StartError):
    """Cases cannot be read; the message names the file and the line."""


class CaseRecord(TypedDict):
    """A case as JSON."""

    image: str
    patient: str
    columns: dict[str, str]


@dataclass(frozen=True)
class ReaderCase:
    """One image. ``columns`` are those of its row in the manifest that the labels file repeats."""

    image: Path
    patient: str
    columns: dict[str, str] = field(default_factory=dict)

    def to_record(self) -> CaseRecord:
        """Return the case as JSON."""
        return {"image": str(self.image), "patient": self.patient, "columns": self.columns}

    @classmethod
    def from_record(cls, record: CaseRecord) -> Self:
        """Return the case in a record of ``to_record``."""
        return cls(Path(record["image"]), record["patient"], dict(record["columns"]))


def find_cases(source: Path, salt: str) -> tuple[ReaderCase, ...]:
    """Return the cases of a manifest, or every DICOM, PNG and JPEG file below a folder.

    A manifest is a CSV file with a column ``image``. Its ``label``, if any, becomes the free column ``reference``.
    Without columns ``patient`` and ``study`` these are digests of the Patient ID (0010,0020) and the Study Instance
    UID, with ``salt`` so that they cannot be found by trying values. Without a Patient ID, the patient is a digest of
    the file name.

    Raises:
        CasesError: A file or a line cannot be read, or there are no images.
    """
    cases = _from_manifest(source, salt) if source.is_file() else _from_folder(source, salt)
    if not cases:
        raise CasesError(f"{source} has no images: give a folder of DICOM, PNG or JPEG files, or a manifest")
    seen: set[Path] = set()
    for case in cases:
        if not case.image.is_file():
            raise CasesError(f"{source}: no file {case.image}")
        if case.image in seen:
            raise CasesError(f"{source}: {case.image} is listed twice")
        seen.add(case.image)
    return tuple(cases)


def _from_manifest(manifest: Path, salt: str) -> list[ReaderCase]:
    table = read_table(manifest, ("image",), refusal=CasesError)
    return [_row(manifest, record.line, record.values, salt) for record in table.records]


def _row(manifest: Path, line: int, text: Mapping[str, str], salt: str) -> ReaderCase:
    if not text["image"]:
        raise CasesError(f"{manifest}, line {line}: the column image is empty")
    for column in ("fold", "age"):
        if text.get(column) and not _is_number(text[column]):
            raise CasesError(f"{manifest}, line {line}: {column} {text[column]!r} is not a number")
    image = (manifest.parent / text["image"]).resolve()
    columns = {name: text[name] for name in text if name in _COPIED_COLUMNS or name not in COLUMNS}
    if text.get("label"):
        columns["reference"] = text["label"]
    own = _case_of(image, salt)
    if "study" not in columns:
        columns |= own.columns
    return ReaderCase(image, text.get("patient") or own.patient, columns)


def _from_folder(folder: Path, salt: str) -> list[ReaderCase]:
    every = sorted(_files(folder))
    taken = [path for path in every if path.suffix.lower() in _SUFFIXES]
    if others := Counter(path.suffix.lower() for path in every if path not in taken):
        counted = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        logger.warning("%s: files that are no DICOM, PNG or JPEG by name are skipped: %s", folder, counted)
    return [_case_of(path.resolve(), salt) for path in taken]


def _files(folder: Path) -> Iterable[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if name != "DICOMDIR" and not name.startswith("."):
                yield path


def _case_of(image: Path, salt: str) -> ReaderCase:
    """Return the case of an image, with digests of its Patient ID and Study Instance UID."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(image, specific_tags=["PatientID", "StudyInstanceUID"], stop_before_pixels=True)
        patient, study = str(dataset.get("PatientID") or ""), str(dataset.get("StudyInstanceUID") or "")
    except Exception:  # pydicom raises many kinds for damaged files and other formats; the page will say so
        patient, study = "", ""
    columns = {"study": _digest(salt, "study", study)} if study else {}
    return ReaderCase(image, "local:" + _digest(salt, "patient", patient or image.name), columns)


def _digest(*parts: str) -> str:
    return sha256("/".join(parts).encode()).hexdigest()[:16]


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
