"""Settings as they are put together: one source after the other, and where each of them was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from triage.channels.settings import Destination
from triage.setting_types import Section
from triage.settings.destinations import ChannelsSettings
from triage.settings.schema import Settings
from triage.settings.toml_lines import KeyPath

T = TypeVar("T")

CHANNELS = "channels"
FILE = "_file"
"""What the name of a secret ends in where it is read from a file of its own."""


class SettingsError(Exception):
    """The settings cannot be used; the message names every wrong key, its file and line."""


@dataclass(frozen=True)
class Origin:
    """Where a setting was said: a file with its line (0: not known), or a variable."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}" if self.line else self.source


@dataclass
class Gathered:
    """All that was said, and where. A later word on a key replaces an earlier one; destinations are added up.

    ``notes`` are for a person to act on: former names that were used. ``secret_files``: what secrets were read of.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    secret_files: list[Path] = field(default_factory=list)

    def add(self, said: Mapping[str, Any], lines: Mapping[KeyPath, int], source: str) -> None:
        """Take the content of one file."""
        for section, table in said.items():
            if section == CHANNELS and isinstance(table, dict):
                self._add_destinations(table, lines, source)
            elif isinstance(table, dict) and isinstance(self.values.setdefault(section, {}), dict):
                for key, value in table.items():
                    self.set(section, key, value, Origin(source, _line((section, key), lines)))
            else:
                self.values[section] = table
            self.origins.setdefault((section,), Origin(source, _line((section,), lines)))

    def set(self, section: str, key: str, value: Any, origin: Origin) -> None:
        """Take one setting of a section, or the file that a secret is in."""
        table = self.values.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{section} must be a table ({self.origin((section,))})")
        _replace(table, key, value, origin, (section,), self.origins, secrets_of(section_type(section)))

    def set_in_destination(self, kind: str, name: str, key: str, value: Any, origin: Origin) -> None:
        """Take one setting of a destination, which is made if there is none of that kind and name."""
        channels = self.values.setdefault(CHANNELS, {})
        many = channels.setdefault(kind, []) if isinstance(channels, dict) else None
        if not isinstance(many, list):
            raise SettingsError(f"{CHANNELS}.{kind} must be a list of tables ({self.origin((CHANNELS, kind))})")
        index = next((i for i, each in enumerate(many) if _is_called(each, name)), len(many))
        if index == len(many):
            many.append({"name": name})
            self.origins[(CHANNELS, kind, index)] = origin
        place: KeyPath = (CHANNELS, kind, index)
        _replace(many[index], key, value, origin, place, self.origins, secrets_of(destination_type(kind)))

    def origin(self, place: KeyPath) -> Origin | None:
        """Where a setting was said, or else what surrounds it."""
        return _nearest(place, self.origins)

    def destinations(self) -> list[tuple[str, list[Any]]]:
        """The lists of destinations by kind; what is no list is left for the model to refuse."""
        channels = self.values.get(CHANNELS, {})
        kinds = channels.items() if isinstance(channels, dict) else ()
        return [(kind, many) for kind, many in kinds if isinstance(many, list)]

    def check_names(self) -> None:
        """Raise SettingsError for a destination that is there twice, with both places."""
        first: dict[str, Origin | None] = {}
        for kind, many in self.destinations():
            for index, each in enumerate(many):
                name = each.get("name") if isinstance(each, dict) else None
                if not isinstance(name, str):
                    continue
                where = self.origin((CHANNELS, kind, index))
                if name in first:
                    raise SettingsError(
                        f"destinations need names of their own: {name} is in {first[name]} and again in {where}"
                    )
                first[name] = where

    def _add_destinations(self, kinds: Mapping[str, Any], lines: Mapping[KeyPath, int], source: str) -> None:
        channels = self.values.setdefault(CHANNELS, {})
        if not isinstance(channels, dict):
            raise SettingsError(f"{CHANNELS} must be a table ({self.origin((CHANNELS,))})")
        for kind, many in kinds.items():
            self.origins.setdefault((CHANNELS, kind), Origin(source, _line((CHANNELS, kind, 0), lines)))
            if not isinstance(many, list) or not isinstance(channels.setdefault(kind, []), list):
                channels[kind] = many
                self.origins[(CHANNELS, kind)] = Origin(source, _line((CHANNELS, kind), lines))
                continue
            shift = len(channels[kind])
            channels[kind] += [dict(each) if isinstance(each, dict) else each for each in many]
            for index, each in enumerate(many):
                there: KeyPath = (CHANNELS, kind, index)
                here: KeyPath = (CHANNELS, kind, shift + index)
                self.origins[here] = Origin(source, _line(there, lines))
                for key in each if isinstance(each, dict) else ():
                    self.origins[(*here, key)] = Origin(source, _line((*there, key), lines))


def section_type(name: str) -> type[Section] | None:
    """The model of a section; None if there is none of that name."""
    found = Settings.model_fields.get(name)
    kind = found.annotation if found is not None else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def destination_type(kind: str) -> type[Destination] | None:
    """The model of a kind of destination; None if there is no such kind."""
    found = ChannelsSettings.model_fields.get(kind)
    return None if found is None else found.annotation.__args__[0]  # type: ignore[union-attr]


def secrets_of(model: type[Section] | None) -> frozenset[str]:
    """The settings of a model that are secrets."""
    fields = model.model_fields if model is not None else {}
    return frozenset(key for key, each in fields.items() if each.annotation is SecretStr)


def secret_files_of(model: type[Section] | None) -> frozenset[str]:
    """The settings of a model that name the file of a secret, which is read by whoever uses it."""
    fields = model.model_fields if model is not None else {}
    return frozenset(key for key in fields if key.endswith((f"password{FILE}", f"secret{FILE}")))


def _replace(
    table: dict[str, Any],
    key: str,
    value: Any,
    origin: Origin,
    place: KeyPath,
    origins: dict[KeyPath, Origin],
    secrets: frozenset[str],
) -> None:
    """A secret in the open and one in a file are one setting: the later word counts, unless it is the same source."""
    secret = key.removesuffix(FILE)
    if secret in secrets:
        other = secret if key.endswith(FILE) else secret + FILE
        before = origins.get((*place, other))
        if other in table and before is not None and _same(before, origin):
            raise SettingsError(f"{'.'.join(map(str, place))}: both {secret} and {secret}{FILE} are given ({origin})")
        table.pop(other, None)
    table[key] = value
    origins[(*place, key)] = origin


def _same(one: Origin, other: Origin) -> bool:
    return one.source == other.source or not (one.line or other.line)


def _is_called(destination: Any, name: str) -> bool:
    """A variable has no ``-``: ``RIS_2`` is ``ris-2`` too."""
    called = destination.get("name") if isinstance(destination, dict) else None
    return isinstance(called, str) and called.replace("-", "_") == name.replace("-", "_")


def _line(place: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    return _nearest(place, lines) or 0


def _nearest(place: KeyPath, known: Mapping[KeyPath, T]) -> T | None:
    """What is known of a place, or else of what surrounds it."""
    while place:
        if place in known:
            return known[place]
        place = place[:-1]
    return None
