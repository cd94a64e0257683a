"""Settings of all sources, merged, and the origin of each.

A later value of a key replaces an earlier one; destinations of all sources are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from triage.runtime.toml_lines import KeyPath
from triage.settings.errors import SettingsError
from triage.settings.fields import CHANNELS, FILE, destination_type, secrets_of, section_type

T = TypeVar("T")
Table = dict[str, object]


@dataclass(frozen=True)
class Origin:
    """Source of a setting: a file with its line (0: not known), or a variable."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}" if self.line else self.source

    def is_same_source(self, other: Origin) -> bool:
        """Return whether both are of one file, or both of the environment."""
        return self.source == other.source or not (self.line or other.line)


@dataclass
class MergedSettings:
    """Values by section and key, and the origin of each place."""

    values: Table = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    def set(self, section: str, key: str, value: object, origin: Origin) -> None:
        """Set one key of a section, or the file that a secret is in. Raises SettingsError."""
        table = self.values.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{section} must be a table ({self.origin((section,))})")
        self._put(_Slot(table, (section,), secrets_of(section_type(section))), key, value, origin)

    def set_in_destination(self, kind: str, name: str, key: str, value: object, origin: Origin) -> None:
        """Set one key of a destination, which is made if there is none of that kind and name. Raises SettingsError."""
        channels = self.values.setdefault(CHANNELS, {})
        many = channels.setdefault(kind, []) if isinstance(channels, dict) else None
        if not isinstance(many, list):
            raise SettingsError(f"{CHANNELS}.{kind} must be a list of tables ({self.origin((CHANNELS, kind))})")
        index = next((i for i, each in enumerate(many) if _has_name(each, name)), len(many))
        if index == len(many):
            many.append({"name": name})
            self.origins[(CHANNELS, kind, index)] = origin
        slot = _Slot(many[index], (CHANNELS, kind, index), secrets_of(destination_type(kind)))
        self._put(slot, key, value, origin)

    def origin(self, place: KeyPath) -> Origin | None:
        """Return the origin of a setting, or of the table that surrounds it."""
        return nearest(place, self.origins)

    def destinations(self) -> Iterator[tuple[str, list[object]]]:
        """Yield the lists of destinations by kind; the schema refuses what is no list."""
        channels = self.values.get(CHANNELS, {})
        for kind, many in channels.items() if isinstance(channels, dict) else ():
            if isinstance(many, list):
                yield kind, many

    def _put(self, slot: _Slot, key: str, value: object, origin: Origin) -> None:
        """Set a key. A secret and its file are one setting: the later one counts, but not both in one source."""
        secret = key.removesuffix(FILE)
        if secret in slot.secrets:
            other = secret if key.endswith(FILE) else secret + FILE
            before = self.origins.get((*slot.place, other))
            if other in slot.table and before is not None and before.is_same_source(origin):
                named = ".".join(map(str, slot.place))
                raise SettingsError(f"{named}: both {secret} and {secret}{FILE} are given ({origin})")
            slot.table.pop(other, None)
        slot.table[key] = value
        self.origins[(*slot.place, key)] = origin


@dataclass(frozen=True)
class _Slot:
    """A table of the merged settings, its place, and which of its keys are secrets."""

    table: Table
    place: KeyPath
    secrets: frozenset[str]


def add_file(merged: MergedSettings, tables: Mapping[str, object], lines: Mapping[KeyPath, int], source: str) -> None:
    """Add the tables of one settings file; ``lines`` are those of its keys. Raises SettingsError."""
    for section, table in tables.items():
        if section == CHANNELS and isinstance(table, dict):
            _add_destinations(merged, table, lines, source)
        elif isinstance(table, dict) and isinstance(merged.values.setdefault(section, {}), dict):
            for key, value in table.items():
                merged.set(section, key, value, Origin(source, _line((section, key), lines)))
        else:
            merged.values[section] = table
        merged.origins.setdefault((section,), Origin(source, _line((section,), lines)))


def _add_destinations(
    merged: MergedSettings, kinds: Mapping[str, object], lines: Mapping[KeyPath, int], source: str
) -> None:
    channels = merged.values.setdefault(CHANNELS, {})
    if not isinstance(channels, dict):
        raise SettingsError(f"{CHANNELS} must be a table ({merged.origin((CHANNELS,))})")
    for kind, many in kinds.items():
        merged.origins.setdefault((CHANNELS, kind), Origin(source, _line((CHANNELS, kind, 0), lines)))
        if not isinstance(many, list) or not isinstance(channels.setdefault(kind, []), list):
            channels[kind] = many
            merged.origins[(CHANNELS, kind)] = Origin(source, _line((CHANNELS, kind), lines))
            continue
        shift = len(channels[kind])
        channels[kind] += [dict(each) if isinstance(each, dict) else each for each in many]
        for index, each in enumerate(many):
            there: KeyPath = (CHANNELS, kind, index)
            here: KeyPath = (CHANNELS, kind, shift + index)
            merged.origins[here] = Origin(source, _line(there, lines))
            for key in each if isinstance(each, dict) else ():
                merged.origins[(*here, key)] = Origin(source, _line((*there, key), lines))


def check_destination_names(merged: MergedSettings) -> None:
    """Raise SettingsError for a destination that is given twice, with both places."""
    first: dict[str, Origin | None] = {}
    for kind, many in merged.destinations():
        for index, each in enumerate(many):
            name = each.get("name") if isinstance(each, dict) else None
            if not isinstance(name, str):
                continue
            where = merged.origin((CHANNELS, kind, index))
            if name in first:
                raise SettingsError(
                    f"destinations need names of their own: {name} is in {first[name]} and again in {where}"
                )
            first[name] = where


def nearest(place: KeyPath, known: Mapping[KeyPath, T]) -> T | None:
    """Return the entry of a place, or of the nearest place that surrounds it."""
    while place:
        if place in known:
            return known[place]
        place = place[:-1]
    return None


def _has_name(destination: object, name: str) -> bool:
    """Return whether a destination is called so; a variable has no ``-``: ``RIS_2`` is ``ris-2`` too."""
    called = destination.get("name") if isinstance(destination, dict) else None
    return isinstance(called, str) and called.replace("-", "_") == name.replace("-", "_")


def _line(place: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    return nearest(place, lines) or 0
