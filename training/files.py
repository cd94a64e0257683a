"""Files that are whole or not there, whenever the process is killed."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import torch


def publish(temporary: Path, path: Path) -> None:
    """Make ``temporary`` durable under its final name."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def part_of(path: Path) -> Path:
    """Where to write ``path`` until it is whole; one for each process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step."""
    temporary = part_of(path)
    temporary.write_text(text, encoding="utf-8")
    publish(temporary, path)


def write_json(path: Path, record: Any) -> None:
    """Replace ``path`` by ``record`` as JSON."""
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace ``path`` by a table."""
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def save_tensors(path: Path, record: Any) -> None:
    """Replace ``path`` by ``record`` as torch saves it."""
    temporary = part_of(path)
    torch.save(record, temporary)
    publish(temporary, path)
