"""One validated settings object from TOML files and TRIAGE_... variables. Unknown keys are errors.

Sections are TOML tables. The variable of a setting is TRIAGE_<SECTION>_<KEY>, and wins over the files. Only ``cli.py``
reads the environment; all other code is handed the values it needs. See docs/adr/0048.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from triage.settings.did_you_mean import suggestion
from triage.settings.errors import SettingsError
from triage.settings.fields import CHANNELS, destination_type, fields_of, section_type
from triage.settings.places import data_folder, located
from triage.settings.schema import Settings
from triage.settings.sources.files import read_files, settings_file, settings_files
from triage.settings.sources.merged import MergedSettings, check_destination_names
from triage.settings.sources.secrets import add_credentials, read_secret_files
from triage.settings.sources.variables import NOT_SETTINGS, read_environment, variables

logger = logging.getLogger(__name__)

__all__ = ["NOT_SETTINGS", "Loaded", "SettingsError", "load", "load_located", "section_type", "variables"]


@dataclass(frozen=True)
class Loaded:
    """Settings in force, every path of them absolute.

    ``notes`` are for a person to act on. ``secret_files``: the files that secrets among the settings were read from.
    """

    settings: Settings
    files: tuple[Path, ...]
    data: Path
    notes: tuple[str, ...] = ()
    secret_files: tuple[Path, ...] = ()

    @property
    def source(self) -> str:
        """The settings files in words."""
        return named_source(self.files)


@dataclass(frozen=True)
class _Read:
    """Merged settings of all sources, notes on them, and the files of secrets among them."""

    merged: MergedSettings
    notes: tuple[str, ...]
    secret_files: tuple[Path, ...]


def named_source(files: tuple[Path, ...]) -> str:
    """Return the settings files in words."""
    return ", ".join(map(str, files)) or "no settings file (looked for triage.toml here and in /etc/cxr-triage)"


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Return the settings of a TOML file (or none), of ``conf.d`` next to it and of TRIAGE_ variables, which win.

    Paths stay as they were given. Raises SettingsError that names each unknown or wrong key.
    """
    read = _read(settings_files(path), environment)
    for note in read.notes:
        logger.warning("%s", note)
    return _validated(read.merged)


def load_located(named: Path | None, environment: Mapping[str, str], here: Path) -> Loaded:
    """Return the settings of the file that is ``named`` or found from ``here``, relative paths in the data folder.

    Raises SettingsError that names each unknown or wrong key, its file and line.
    """
    main = settings_file(named, environment, here)
    files = settings_files(main)
    read = _read(files, environment)
    settings = _validated(read.merged)
    data = data_folder(settings, main, environment)
    settings, notes = located(settings, data, here)
    return Loaded(settings, tuple(files), data, (*read.notes, *notes), read.secret_files)


def _read(files: list[Path], environment: Mapping[str, str]) -> _Read:
    merged = MergedSettings()
    notes = [*read_files(files, merged), *read_environment(environment, merged)]
    add_credentials(environment, merged)
    check_destination_names(merged)
    return _Read(merged, tuple(notes), tuple(read_secret_files(merged)))


def _validated(merged: MergedSettings) -> Settings:
    try:
        return Settings.model_validate(merged.values)
    except ValidationError as error:
        raise SettingsError("\n".join(_readable(problem, merged) for problem in error.errors())) from error


def _readable(problem: ErrorDetails, merged: MergedSettings) -> str:
    place = problem["loc"]
    named = ".".join(map(str, place))
    text = problem["msg"]
    if problem["type"] == "extra_forbidden":
        text = f"there is no such setting{_meant(place)}"
    origin = merged.origin(place)
    where = f" ({origin})" if origin else ""
    return f"{named}: {text}{where}" if named else f"{text}{where}"


def _meant(place: tuple[str | int, ...]) -> str:
    """Return a hint at the nearest name in the same table, else at the section that has a setting of this name."""
    above, key = place[:-1], str(place[-1])
    if not above:
        return suggestion(key, Settings.model_fields)
    prefix = ".".join(map(str, above))
    if above[0] == CHANNELS:
        model = destination_type(str(above[1])) if len(above) > 1 else section_type(CHANNELS)
    else:
        model = section_type(str(above[0]))
    near = suggestion(key, fields_of(model), f"{prefix}.")
    elsewhere = [f"{section}.{key}" for section, wanted in variables().values() if wanted == key]
    return near or (f": did you mean {' or '.join(elsewhere)}?" if elsewhere else "")
