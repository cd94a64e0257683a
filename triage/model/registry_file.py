"""Acts of persons on the versions of models, in one entry of the store that only grows."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Protocol

from triage.errors import StartError, cause
from triage.model.versions import RegistryAct, RegistryEntry, RegistryHistory

REGISTRY_PLACE = "control"
"""The place of the entry in the store."""
REGISTRY = "model-registry.jsonl"
_LOCK = "model-registry.lock"


class RegistryFileError(StartError):
    """The acts cannot be read: which version is in service is not known. Restore the entry from a backup."""


class ActEntries(Protocol):
    """Entries of a store, of which one holds the acts; see ``triage.spool.entries``."""

    def get(self, name: str) -> bytes:
        """Return the content of an entry. Raises FileNotFoundError if there is none, OSError."""

    def put(self, name: str, content: str) -> None:
        """Write or replace an entry durably, in one step. Raises OSError."""

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Hold a lock of this name, exclusive among all processes. Raises OSError."""


def read_registry(entries: ActEntries) -> RegistryHistory:
    """Return all acts. Raises RegistryFileError. A last line that a crash has cut was no act."""
    try:
        text = _whole_lines(entries)
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryFileError(f"{_SHOWN} cannot be read: {error}") from error
    return RegistryHistory([_entry(number, line) for number, line in enumerate(text.splitlines(), 1)])


def add_to_registry(entries: ActEntries, entry: RegistryEntry) -> None:
    """Add an act durably. Raises RegistryFileError."""
    try:
        with entries.lock(_LOCK):  # two persons at a time
            entries.put(REGISTRY, _whole_lines(entries) + json.dumps(asdict(entry)) + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryFileError(f"{_SHOWN} cannot be written: {cause(error)}; nothing was changed") from error


_SHOWN = f"{REGISTRY_PLACE}/{REGISTRY} of the spool"


def _whole_lines(entries: ActEntries) -> str:
    try:
        text = entries.get(REGISTRY).decode()
    except FileNotFoundError:
        return ""
    return text[: text.rfind("\n") + 1]


def _entry(number: int, line: str) -> RegistryEntry:
    try:
        record = json.loads(line)
        return RegistryEntry(**{**record, "act": RegistryAct(record["act"])})
    except (ValueError, TypeError, KeyError) as error:
        text = f"{_SHOWN}, line {number}, is no act on a model: restore it from a backup"
        raise RegistryFileError(text) from error
