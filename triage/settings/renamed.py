"""Old spellings of settings and commands: each works for one release, with a warning, and goes with the next.

Nothing has been renamed since 0.1: all of its spellings are understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from triage.errors import TriageError

SETTINGS: Mapping[str, str] = {}
"""Old `section.key` to new `section.key`."""
COMMANDS: Mapping[str, str] = {}
"""Old command to new command."""


class TwiceError(TriageError, ValueError):
    """A setting is given in its old and its new spelling: the message says which to remove."""


def in_new_spelling(
    values: Mapping[str, object], warn: Callable[[str], None], renamed: Mapping[str, str] = SETTINGS
) -> dict[str, object]:
    """Return the tables of a settings file with every old key under its new name. Raises TwiceError."""
    new: dict[str, object] = {name: dict(table) if isinstance(table, dict) else table for name, table in values.items()}
    for old, now in renamed.items():
        section, key = old.split(".")
        to_section, to_key = now.split(".")
        table = new.get(section)
        if not isinstance(table, dict) or key not in table:
            continue
        target = new.setdefault(to_section, {})
        if not isinstance(target, dict):
            continue  # the schema refuses it
        if to_key in target:
            raise TwiceError(f"{old} is the former name of {now}, and both are given: remove {old}")
        target[to_key] = table.pop(key)
        if not table:
            new.pop(section)
        warn(f"{old} is called {now} now; the old name goes with the next release")
    return new


def variable(name: str, warn: Callable[[str], None], renamed: Mapping[str, str] = SETTINGS) -> str:
    """Return the present name of an environment variable."""
    for old, now in renamed.items():
        if name == _variable(old):
            warn(f"{name} is called {_variable(now)} now; the old name goes with the next release")
            return _variable(now)
    return name


def _variable(setting: str) -> str:
    return f"TRIAGE_{setting.replace('.', '_').upper()}"
