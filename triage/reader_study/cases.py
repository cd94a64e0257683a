"""The cases of a study: which images, and what the labels file will say of them. Readers see none of it."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, Self

from pydicom import dcmread

from triage.errors import StartError
from triage.runtime.csv_table import TableError, parse_table
from triage.validation.cohort.manifest import COLUMNS

logger = logging.getLogger(__name__)

_SUFFIXES = frozenset({".dcm", ".dicom", ".png", ".jpg", ".jpeg", ""})
_ON_THE_WAY = frozenset(
    {"split", "fold", "view", "age", "sex", "source"}
)  # columns that go into the labels as they are


class CasesError(StartError):
    """Cases that cannot be read; the message names the file and the line."""


@dataclass(frozen=True)
class ReaderCase:
    """One image. ``columns`` are those of its row in the manifest that go into the labels unchanged."""

    image: Path
    patient: str
    columns: dict[str, str] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """The case as JSON."""
        return {**asdict(self), "image": str(self.image)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The inverse of ``to_record``."""
        return cls(Path(record["image"]), record["patient"], dict(record["columns"]))


def find_cases(source: Path, salt: str) -> tuple[ReaderCase, ...]:
    """The cases of a manifest (CSV with a column ``image``), or every DICOM, PNG and JPEG file below a folder.

    A manifest's ``label``, if it has one, becomes the free column ``reference``. Without columns ``patient`` and
    ``study`` these are digests of the Patient ID (0010,0020) and the Study Instance UID, with ``salt`` so that nobody
    can find those by trying; without a Patient ID, the patient is one of the file's name. Raises CasesError.
    """
    cases = _listed(source, salt) if source.is_file() else _below(source, salt)
    if not cases:
        raise CasesError(f"{source} has no images: give a folder of DICOM, PNG or JPEG files, or a manifest")
    seen: set[Path] = set()
    for case in cases:
        if not case.image.is_file():
            raise CasesError(f"{source}: no file {case.image}")
        if case.image in seen:
            raise CasesError(f"{source}: {case.image} is there twice")
        seen.add(case.image)
    return tuple(cases)


def _listed(manifest: Path, salt: str) -> list[ReaderCase]:
    try:
        table = parse_table(manifest.read_bytes(), ("image",))
    except OSError as error:
        raise CasesError(f"{manifest} cannot be read: {error}") from error
    except TableError as error:
        raise CasesError(f"{manifest}: {error}") from error
    return [_row(manifest, record.line, record.values, salt) for record in table.records]


def _row(manifest: Path, line: int, text: Mapping[str, str], salt: str) -> ReaderCase:
    if not text["image"]:
        raise CasesError(f"{manifest}, line {line}: image is not given")
    for column in ("fold", "age"):
        if text.get(column) and not _is_number(text[column]):
            raise CasesError(f"{manifest}, line {line}: {column} {text[column]!r} is not a number")
    image = (manifest.parent / text["image"]).resolve()
    columns = {name: text[name] for name in text if name in _ON_THE_WAY or name not in COLUMNS}
    if text.get("label"):
        columns["reference"] = text["label"]
    said = _said(image, salt)
    if "study" not in columns:
        columns |= said.columns
    return ReaderCase(image, text.get("patient") or said.patient, columns)


def _below(folder: Path, salt: str) -> list[ReaderCase]:
    every = sorted(_files(folder))
    taken = [path for path in every if path.suffix.lower() in _SUFFIXES]
    if others := Counter(path.suffix.lower() for path in every if path not in taken):
        counted = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        logger.warning("%s: files that are no DICOM, PNG or JPEG by name are passed over: %s", folder, counted)
    return [_said(path.resolve(), salt) for path in taken]


def _files(folder: Path) -> Iterable[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if name != "DICOMDIR" and not name.startswith("."):
                yield path


def _said(image: Path, salt: str) -> ReaderCase:
    """What an image says of itself, as digests."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = dcmread(image, specific_tags=["PatientID", "StudyInstanceUID"], stop_before_pixels=True)
        patient, study = str(said.get("PatientID") or ""), str(said.get("StudyInstanceUID") or "")
    except Exception:  # pydicom raises many kinds for broken bytes and for what is not DICOM; the page will say so
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
