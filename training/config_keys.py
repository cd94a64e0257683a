"""Tables of a configuration by dotted keys: merged, changed, and with former spellings read under their new names."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Mapping
from typing import TypeAlias

from training.errors import TrainingError

Table: TypeAlias = Mapping[str, object]

RENAMED = {"data.beside": "data.never_held_out"}  # what releases before 0.2.0 called them; read until 0.3.0
"""Former dotted key to the present one."""


def merged(base: Table, changes: Table) -> dict[str, object]:
    """Return ``base`` with the values of ``changes``; tables are merged, other values replaced."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return result


def nested(changes: Table) -> dict[str, object]:
    """Return ``changes``, whose keys may be dotted, as nested tables."""
    result: dict[str, object] = {}
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        inner: dict[str, object] = {last: value}
        for parent in reversed(parents):
            inner = {parent: inner}
        result = merged(result, inner)
    return result


def parse_change(text: str) -> tuple[str, object]:
    """Return key and value of ``dotted.key=value``; a value that is not TOML is plain text. Raises TrainingError."""
    key, equals, value = text.partition("=")
    if not equals:
        raise TrainingError(f"{text!r} is not dotted.key=value")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def in_new_spelling(tables: Table) -> dict[str, object]:
    """Return nested ``tables`` with former keys under their present names, and warn of each.

    Raises TrainingError where both names are given.
    """
    result = dict(tables)
    for former, present in RENAMED.items():
        section, key = former.split(".")
        table = result.get(section)
        if isinstance(table, Mapping) and key in table:
            if present.split(".")[1] in table:
                raise TrainingError(f"{former} is the former name of {present}, and both are given: remove {former}")
            _warn(former, present)
            result[section] = section_in_new_spelling(section, table)
    return result


def section_in_new_spelling(section: str, table: Table) -> dict[str, object]:
    """Return one table with former keys under their present names, without a warning."""
    present = {
        former.split(".")[1]: now.split(".")[1] for former, now in RENAMED.items() if former.split(".")[0] == section
    }
    return {present.get(name, name): value for name, value in table.items()}


def dotted_in_new_spelling(changes: Table) -> dict[str, object]:
    """Return ``changes`` by dotted keys with former keys under their present names, and warn of each."""
    for former in RENAMED.keys() & changes.keys():
        _warn(former, RENAMED[former])
    return {RENAMED.get(key, key): value for key, value in changes.items()}


def _warn(former: str, present: str) -> None:
    warnings.warn(f"{former} is called {present} now; the old name goes with 0.3.0", FutureWarning, stacklevel=3)
