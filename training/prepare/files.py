"""Files of cohorts as their owners publish them: images anywhere below a folder, tables plain or gzipped."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from training.prepare.cohort import PrepareError
from triage.runtime.csv_table import TableError, parse_table
from triage.validation.cohort.manifest import Row

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm")
"""Suffixes of images in lower case; of an image in several forms the first of these is used."""


@dataclass(frozen=True)
class TableRow:
    """One row of a table; ``where`` names file and line, for messages."""

    where: str
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def stem(name: str) -> str:
    """Return the file name without the suffixes of images: ``1_IM-0001-4001.dcm.png`` -> ``1_IM-0001-4001``."""
    while name.lower().endswith(IMAGE_SUFFIXES):
        name = name.rpartition(".")[0]
    return name


def index_images(folder: Path, key: Callable[[str], str] = stem) -> dict[str, Path]:
    """Return every image file below ``folder`` by ``key`` of its name.

    Empty files (of interrupted downloads) and hidden ones (macOS's ``._`` copies) count as absent. Raises PrepareError
    where one image is there twice in the same form: which one is meant cannot be told.
    """
    found: dict[str, Path] = {}
    for path in image_files(folder):
        name = key(path.name)
        other = found.setdefault(name, path)
        if other is path:
            continue
        if other.suffix.lower() == path.suffix.lower():
            raise PrepareError(f"{path} and {other} are the same image by name: keep one of them")
        found[name] = min(path, other, key=lambda each: IMAGE_SUFFIXES.index(each.suffix.lower()))
    return found


def image_files(folder: Path) -> Iterator[Path]:
    """Yield the image files below ``folder`` that are neither hidden nor empty, in the order of their names."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES and path.stat().st_size:
                yield path


def passed_over(folder: Path, taken: Iterable[Path]) -> tuple[str, ...]:
    """Return a line for each reason why files below ``folder`` are not among ``taken``, with their number."""
    mine, found = set(taken), Counter[str]()
    for path in folder.rglob("*"):
        if path in mine or not path.is_file():
            continue
        parts = path.relative_to(folder).parts
        suffix = path.suffix.lower()
        if any(part.startswith((".", "__MACOSX")) for part in parts):
            found["hidden"] += 1
        elif suffix not in IMAGE_SUFFIXES:
            found[f"named {suffix}, and images are {', '.join(IMAGE_SUFFIXES)}" if suffix else "without a suffix"] += 1
        elif not path.stat().st_size:
            found["empty"] += 1
        else:
            found[f"in {'/'.join(parts[:-1]) or 'the folder itself'}, which is neither normal nor abnormal"] += 1
    return tuple(f"{count} {'file' if count == 1 else 'files'} {reason}" for reason, count in sorted(found.items()))


def is_present(path: Path) -> bool:
    """Return True for a file that is there and not empty."""
    return path.is_file() and path.stat().st_size > 0


def locate(rows: Iterable[Row], files: Mapping[str, Path]) -> tuple[list[Row], list[str]]:
    """Return rows whose image is in ``files``, with its path, and the names of the other rows' images.

    Call it after the draw of the splits, which then do not depend on the files at hand.
    """
    present, missing = [], []
    for row in rows:
        path = files.get(row.image.name)
        if path is None:
            missing.append(row.image.name)
        else:
            present.append(replace(row, image=path))
    return present, missing


def find_file(folder: Path, *names: str, purpose: str) -> Path:
    """Return the first of ``names`` (each also with .gz) in ``folder``. Raises PrepareError that says its purpose."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise PrepareError(f"{folder} holds no {' or '.join(names)}: {purpose}")


def read_text(path: Path) -> str:
    """Read a plain or gzipped text file. Raises PrepareError."""
    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PrepareError(f"{path} cannot be read: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:  # gzip says in its text what is wrong with the file
        raise PrepareError(f"{path} cannot be read: {error}") from error


def read_table(path: Path, columns: Sequence[str]) -> list[TableRow]:
    """Read every row of a CSV file that must have ``columns``. Raises PrepareError."""
    try:
        table = parse_table(_read(path), columns)
    except TableError as error:
        raise PrepareError(f"{path}: {error}") from error
    return [TableRow(f"{path}, line {each.line}", each.values) for each in table.records]


def digest_of(lines: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted lines, each with a newline, as ``sort | sha256sum`` in the C locale."""
    return sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()


def years(text: str) -> float | None:
    """Return an age in years, None where absent or above 120 (NIH's first table has 411). DICOM's 058Y is read too."""
    digits = text.strip().upper()
    unit = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}.get(digits[-1:])
    try:
        age = float(digits[:-1]) * unit if unit else float(digits)
    except ValueError:
        return None
    return age if 0 <= age <= 120 else None


def sex(text: str) -> str:
    """Return M or F; empty for anything else."""
    letter = text.strip().upper()[:1]
    return letter if letter in ("M", "F") else ""
