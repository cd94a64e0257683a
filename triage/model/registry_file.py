"""Acts of persons on the versions of models, in one file of the spool that is only appended to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from triage.errors import StartError, cause
from triage.model.versions import RegistryAct, RegistryEntry, RegistryHistory
from triage.runtime.durable import append_durably

REGISTRY = "control/model-registry.jsonl"


class RegistryFileError(StartError):
    """The file of acts cannot be read: which version is in service is not known. Restore it from a backup."""


def read_registry(spool_root: Path) -> RegistryHistory:
    """Return all acts. Raises RegistryFileError. A last line that a crash has cut was no act."""
    path = spool_root / REGISTRY
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return RegistryHistory()
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryFileError(f"{path} cannot be read: {error}") from error
    whole = text[: text.rfind("\n") + 1]
    return RegistryHistory([_entry(path, number, line) for number, line in enumerate(whole.splitlines(), 1)])


def add_to_registry(spool_root: Path, entry: RegistryEntry) -> None:
    """Append an act durably. Raises RegistryFileError."""
    path = spool_root / REGISTRY
    try:
        _cut_torn_line(path)
        append_durably(path, json.dumps(asdict(entry)) + "\n")
    except OSError as error:
        raise RegistryFileError(f"{path} cannot be written: {cause(error)}; nothing was changed") from error


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as file:
            file.truncate(whole)


def _entry(path: Path, number: int, line: str) -> RegistryEntry:
    try:
        record = json.loads(line)
        return RegistryEntry(**{**record, "act": RegistryAct(record["act"])})
    except (ValueError, TypeError, KeyError) as error:
        raise RegistryFileError(f"{path}, line {number}, is no act on a model: restore it from a backup") from error
