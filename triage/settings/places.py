"""Where relative paths of the settings lie: in the data folder, wherever a command is typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from triage.runtime.checkout import checkout
from triage.settings.schema import Settings
from triage.settings.sources import SettingsError

_BELOW_HERE = {
    ("spool", "path"): Path("var/spool"),
    ("redis", "socket_path"): Path("var/redis/redis.sock"),
    ("sign_in", "users_file"): Path("var/users.json"),
    ("audit", "path"): Path("var/audit/audit.xml"),
}
"""Where these lay by default before 0.2, below the folder in which a command was typed."""


def data_folder(settings: Settings, main: Path | None, environment: Mapping[str, str]) -> Path:
    """The folder that relative paths lie in.

    data.path; else the folder of an absolute spool.path; else ``var`` beside the settings file, or of the checkout that
    the program runs from, or the user's state folder (XDG). Raises SettingsError.
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
    """The settings with absolute paths, and what is still found where it lay before 0.2.

    That is looked for below ``here`` for this one release, and only where the data folder was not named. Raises
    SettingsError if there are two spools: the studies of one of them would not be seen.
    """
    notes: list[str] = []

    def place(section: str, key: str, path: Path, given: bool) -> Path:
        new = data / path
        old = here / (path if given else _BELOW_HERE.get((section, key), path))
        if settings.data.path is not None or path.is_absolute():
            return new
        if not _is_there(old, key) or old.resolve() == new.resolve():
            return new
        if _is_there(new, key):
            notes.append(_both(f"{section}.{key}", old, new))
            return new
        notes.append(
            f"{section}.{key} is found in {old}, where the working directory led before; the next release looks in "
            f"{new} alone: move it, or name it in the settings"
        )
        return old

    changed = {name: _located(getattr(settings, name), name, place) for name in type(settings).model_fields}
    return settings.model_copy(update=changed), notes


def _is_there(path: Path, key: str) -> bool:
    """A socket is there only while its server runs: its folder is asked for."""
    return path.parent.exists() if key == "socket_path" else path.exists()


def _both(setting: str, old: Path, new: Path) -> str:
    """What is said where both are there. Raises SettingsError for the spool."""
    if setting == "spool.path":
        raise SettingsError(
            f"spool.path: there is a spool in {old}, where the working directory led before, and one in {new}: the "
            "studies of one of them would not be seen. Name the right one (spool.path with its absolute path, or "
            "data.path), or move the other away"
        )
    return f"{setting}: {new} is used, and {old} is not any more, where the working directory led before: remove it"


def _located(model: Any, section: str, place: Any) -> Any:
    update: dict[str, Any] = {}
    for key in type(model).model_fields:
        value = getattr(model, key)
        if isinstance(value, Path):
            update[key] = (
                value
                if key == "path" and section == "data"
                else place(section, key, value, key in model.model_fields_set)
            )
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            update[key] = tuple(_located(each, f"{section}.{key}", place) for each in value)
    return model.model_copy(update=update)
