"""The settings file: which one it is, and the folder ``conf.d`` beside it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from triage.settings.renamed import TwiceError, in_new_spelling
from triage.settings.sources import Gathered, SettingsError
from triage.settings.toml_lines import key_lines

NAME = "triage.toml"
SYSTEM = Path("/etc/cxr-triage") / NAME
FOLDER = "conf.d"


def settings_file(named: Path | None, environment: Mapping[str, str], here: Path, system: Path = SYSTEM) -> Path | None:
    """The settings file: the one that is ``named``, or TRIAGE_CONFIG's, or `triage.toml` ``here``, or the system's.

    None where there is none of them. Raises SettingsError for one ``here`` that somebody else put there.
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
    """The settings file and those of ``conf.d`` beside it, in the order of their names."""
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


def read_files(files: list[Path], gathered: Gathered) -> None:
    """Put the settings of ``files`` together. Raises SettingsError that names the file."""
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
            said = in_new_spelling(tomllib.loads(text), gathered.notes.append)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TwiceError) as error:
            raise SettingsError(f"settings file {path}: {error}") from error
        gathered.add(said, key_lines(text), str(path))
