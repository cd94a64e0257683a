"""The settings file: which one is used, and the folder ``conf.d`` next to it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from triage.runtime.toml_lines import key_lines
from triage.settings.errors import SettingsError
from triage.settings.renamed import TwiceError, in_new_spelling
from triage.settings.sources.merged import MergedSettings, add_file

NAME = "triage.toml"
SYSTEM = Path("/etc/cxr-triage") / NAME
FOLDER = "conf.d"


def settings_file(named: Path | None, environment: Mapping[str, str], here: Path, system: Path = SYSTEM) -> Path | None:
    """Return the settings file; None if there is none.

    The first of: ``named``; TRIAGE_CONFIG; `triage.toml` in the folder ``here``; ``system``. Raises SettingsError if
    the one in ``here`` belongs to another user.
    """
    chosen = named or (Path(environment["TRIAGE_CONFIG"]) if environment.get("TRIAGE_CONFIG") else None)
    if chosen is not None:
        return here / chosen
    if (found := here / NAME).is_file():
        if found.stat().st_uid not in (0, os.geteuid()):
            raise SettingsError(f"settings file {found} belongs to another user: if it is meant, say --config {found}")
        return found
    return system if system.is_file() else None


def settings_files(main: Path | None) -> list[Path]:
    """Return the settings file and those of ``conf.d`` next to it, by name. Raises SettingsError."""
    if main is None:
        return []
    folder = main.parent / FOLDER
    try:
        more = sorted(each for each in folder.iterdir() if each.suffix == ".toml" and each.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        more = []
    except OSError as error:
        raise SettingsError(f"settings folder {folder}: {error}") from error
    return [main, *more]


def read_files(files: list[Path], merged: MergedSettings) -> list[str]:
    """Add the settings of ``files``. Return notes on old spellings. Raises SettingsError that names the file."""
    notes: list[str] = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
            tables = in_new_spelling(tomllib.loads(text), notes.append)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TwiceError) as error:
            raise SettingsError(f"settings file {path}: {error}") from error
        add_file(merged, tables, key_lines(text), str(path))
    return notes
