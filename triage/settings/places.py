"""Relative paths of the settings: they lie in the data folder, whatever the working directory is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from triage.runtime.checkout import checkout
from triage.settings.errors import SettingsError
from triage.settings.schema import Settings

M = TypeVar("M", bound=BaseModel)

_BELOW_HERE = {
    "spool.path": Path("var/spool"),
    "redis.socket_path": Path("var/redis/redis.sock"),
    "sign_in.users_file": Path("var/users.json"),
    "audit.path": Path("var/audit/audit.xml"),
}
"""Default places of 0.1, below the folder in which a command was typed; read until 0.3.0."""


def data_folder(settings: Settings, main: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the folder that relative paths lie in.

    data.path; else the folder of an absolute spool.path; else ``var`` next to the settings file, or of the checkout
    that the program runs from, or the user's state folder (XDG). Raises SettingsError.
    """
    chosen = settings.data.path
    if chosen is not None:
        if not chosen.is_absolute() and main is None:
            raise SettingsError(f"data.path: {chosen} must be an absolute path where there is no settings file")
        return main.parent / chosen if main else chosen
    if settings.spool.path.is_absolute():
        return settings.spool.path.parent
    if main is not None:
        return main.parent.absolute() / "var"
    if (here := checkout()) is not None:
        return here / "var"
    state = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME") or Path.home()) / ".local/state")
    return Path(state).absolute() / "cxr-triage"


def located(settings: Settings, data: Path, here: Path) -> tuple[Settings, list[str]]:
    """Return the settings with absolute paths, and notes on files that still lie where 0.1 had them.

    Until 0.3.0 those are looked for below ``here``, and only where the data folder was not named. Raises SettingsError
    if there are two spools: the studies of one of them would not be seen.
    """
    places = _Places(data, here, settings.data.path is not None)
    changed = {
        name: _located(getattr(settings, name), name, places) for name in type(settings).model_fields if name != "data"
    }
    return settings.model_copy(update=changed), places.notes


def _located(model: M, section: str, places: _Places) -> M:
    update: dict[str, object] = {}
    for key in type(model).model_fields:
        value: object = getattr(model, key)
        if isinstance(value, Path):
            update[key] = places.absolute(f"{section}.{key}", value, given=key in model.model_fields_set)
        elif isinstance(value, tuple) and value and isinstance(value[0], Path):
            update[key] = tuple(places.absolute(f"{section}.{key}", each, given=True) for each in value)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            update[key] = tuple(_located(each, f"{section}.{key}", places) for each in value)
    return model.model_copy(update=update)


@dataclass(frozen=True)
class _Places:
    """The folders that a relative path may lie in, and notes on what lies in the old one."""

    data: Path
    here: Path
    data_is_named: bool
    notes: list[str] = field(default_factory=list)

    def absolute(self, setting: str, path: Path, *, given: bool) -> Path:
        """Return where the path of a setting lies; ``given``: it is no default. Raises SettingsError."""
        new = self.data / path
        if self.data_is_named or path.is_absolute():
            return new
        old = self.here / (path if given else _BELOW_HERE.get(setting, path))
        if not _exists(old, setting) or old.resolve() == new.resolve():
            return new
        if _exists(new, setting):
            self.notes.append(_both(setting, old, new))
            return new
        self.notes.append(
            f"{setting} is found in {old}, where the working directory led before; the next release looks in "
            f"{new} alone: move it, or name it in the settings"
        )
        return old


def _exists(path: Path, setting: str) -> bool:
    """Return whether a file is there; of a socket, which exists only while its server runs, its folder."""
    return path.parent.exists() if setting == "redis.socket_path" else path.exists()


def _both(setting: str, old: Path, new: Path) -> str:
    """Return the note on files in both places. Raises SettingsError for two spools."""
    if setting == "spool.path":
        raise SettingsError(
            f"spool.path: there is a spool in {old}, where the working directory led before, and one in {new}: the "
            "studies of one of them would not be seen. Name the right one (spool.path with its absolute path, or "
            "data.path), or move the other away"
        )
    return f"{setting}: {new} is used, and {old} is not any more, where the working directory led before: remove it"
