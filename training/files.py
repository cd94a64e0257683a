"""Files that are complete or absent, whenever the process is killed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from io import StringIO
from pathlib import Path

import psutil
import torch

from training.errors import TrainingError
from triage.errors import cause
from triage.runtime.csv_table import TableWriter

_SPARE_BYTES = 64 << 20


def publish(temporary: Path, path: Path) -> None:
    """Make ``temporary`` durable under its final name."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def part_of(path: Path) -> Path:
    """Return the temporary name under which this process writes ``path``; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def remove_abandoned(folder: Path) -> None:
    """Remove the incomplete files that killed processes left in ``folder``."""
    for part in folder.glob("*.part"):
        writer = part.suffixes[-2].removeprefix(".") if len(part.suffixes) > 1 else ""
        if writer.isdigit() and not psutil.pid_exists(int(writer)):
            part.unlink(missing_ok=True)


def check_room(folder: Path, needed: int, contents: str, remedy: str) -> None:
    """Make ``folder``, and raise TrainingError unless it has room for ``needed`` bytes of ``contents``."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise TrainingError(
            f"{folder}: {contents} need {needed / 1e9:.2f} GB of disk, {free / 1e9:.2f} GB are free: {remedy}"
        )


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step."""
    temporary = part_of(path)
    temporary.write_text(text, encoding="utf-8")
    publish(temporary, path)


def write_json(path: Path, record: object) -> None:
    """Replace ``path`` by ``record`` as JSON."""
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Replace ``path`` by ``rows`` as CSV; cells of other columns are left out."""
    text = StringIO()
    writer = TableWriter(text)
    writer.row(columns)
    for row in rows:
        writer.row(row.get(name) for name in columns)
    write_text(path, text.getvalue())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex. Raises TrainingError."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {cause(error)}") from error


def save_tensors(path: Path, record: object) -> None:
    """Replace ``path`` by ``record`` as torch saves it."""
    temporary = part_of(path)
    torch.save(record, temporary)
    publish(temporary, path)
