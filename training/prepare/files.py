"""Files as cohorts' owners publish them: images somewhere below a folder, tables plain or gzipped."""

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
"""Lower case; where an image is there in several forms the first of these is taken."""


@dataclass(frozen=True)
class TableRow:
    """One row of a table; ``where`` names file and line for a message."""

    where: str
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def stem(name: str) -> str:
    """File name without the suffixes of images: ``1_IM-0001-4001.dcm.png`` -> ``1_IM-0001-4001``."""
    while name.lower().endswith(IMAGE_SUFFIXES):
        name = name.rpartition(".")[0]
    return name


def index_images(folder: Path, key: Callable[[str], str] = stem) -> dict[str, Path]:
    """Every image file below ``folder`` by ``key`` of its name.

    Empty files (a download that broke off) and hidden ones (macOS's ``._`` copies) count as absent. Raises
    PrepareError when one image is there twice in the same form, as nobody could say which one is meant.
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
    """Image files below ``folder`` that are not hidden and not empty, in the order of their names."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES and path.stat().st_size:
                yield path


def passed_over(folder: Path, taken: Iterable[Path]) -> tuple[str, ...]:
    """What lies below ``folder`` and is not among ``taken``: how many files, and why, a line for each reason."""
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
    return tuple(f"{count} {'file' if count == 1 else 'files'} {why}" for why, count in sorted(found.items()))


def locate(rows: Iterable[Row], files: Mapping[str, Path]) -> tuple[list[Row], list[str]]:
    """Rows with their image's name in ``files`` replaced by its path, and the names that are not there.

    Splits are drawn before: so they are the same whichever files are there.
    """
    present, missing = [], []
    for row in rows:
        path = files.get(row.image.name)
        if path is None:
            missing.append(row.image.name)
        else:
            present.append(replace(row, image=path))
    return present, missing


def find_file(folder: Path, *names: str, why: str) -> Path:
    """The first of ``names`` (each also with .gz) in ``folder``. PrepareError says what it is needed for."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise PrepareError(f"{folder} holds no {' or '.join(names)}: {why}")


def read_text(path: Path) -> str:
    """The text of a plain or gzipped file."""
    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PrepareError(f"{path} cannot be read: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise PrepareError(f"{path} cannot be read: {error}") from error


def read_table(path: Path, columns: Sequence[str]) -> list[TableRow]:
    """Every row of a CSV file that must have ``columns``."""
    try:
        table = parse_table(_read(path), columns)
    except TableError as error:
        raise PrepareError(f"{path}: {error}") from error
    return [TableRow(f"{path}, line {each.line}", each.values) for each in table.records]


def digest_of(lines: Iterable[str]) -> str:
    """SHA-256 over the sorted lines, each ended by a newline: what ``sort | sha256sum`` gives in the C locale."""
    return sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()


def years(text: str) -> float | None:
    """An age in years, None where it is absent or no human's (NIH's first table has 411). DICOM's 058Y is read too."""
    digits = text.strip().upper()
    unit = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}.get(digits[-1:])
    try:
        age = float(digits[:-1]) * unit if unit else float(digits)
    except ValueError:
        return None
    return age if 0 <= age <= 120 else None


def sex(text: str) -> str:
    """M or F; empty for anything else."""
    letter = text.strip().upper()[:1]
    return letter if letter in ("M", "F") else ""
