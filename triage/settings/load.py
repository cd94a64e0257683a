"""One validated settings object, from TOML files and TRIAGE_... variables. Unknown keys are errors.

Sections are TOML tables. The variable of a setting is TRIAGE_<SECTION>_<KEY>, and wins over the files. Only ``cli.py``
reads the environment; everything else is handed the values it needs. See docs/adr/0048.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from triage.settings.did_you_mean import suggestion
from triage.settings.files import read_files, settings_file, settings_files
from triage.settings.places import data_folder, located
from triage.settings.schema import Settings
from triage.settings.sources import CHANNELS, Gathered, SettingsError, destination_type, section_type
from triage.settings.variables import NOT_SETTINGS, read_environment, read_secrets, variables

logger = logging.getLogger(__name__)

__all__ = ["NOT_SETTINGS", "Loaded", "SettingsError", "load", "load_located", "section_type", "variables"]


@dataclass(frozen=True)
class Loaded:
    """Settings in force, every path of them absolute; ``notes`` are for a person to act on.

    ``secret_files``: files that secrets among them were read of.
    """

    settings: Settings
    files: tuple[Path, ...]
    data: Path
    notes: tuple[str, ...] = ()
    secret_files: tuple[Path, ...] = ()

    @property
    def source(self) -> str:
        """Where they were read, for people."""
        return named_source(self.files)


def named_source(files: tuple[Path, ...]) -> str:
    """The settings files in words."""
    return ", ".join(map(str, files)) or "no settings file (looked for triage.toml here and in /etc/cxr-triage)"


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Settings from a TOML file (or none), ``conf.d`` beside it and the environment's TRIAGE_ variables, which win.

    Paths are as they were given. Raises SettingsError that names each unknown or wrong key.
    """
    gathered = _gathered(settings_files(path), environment)
    for note in gathered.notes:
        logger.warning("%s", note)
    return _validated(gathered)


def load_located(named: Path | None, environment: Mapping[str, str], here: Path) -> Loaded:
    """Settings from the file that is ``named`` or found from ``here``, with relative paths in the data folder.

    Raises SettingsError that names each unknown or wrong key, its file and line.
    """
    main = settings_file(named, environment, here)
    files = settings_files(main)
    gathered = _gathered(files, environment)
    settings = _validated(gathered)
    data = data_folder(settings, main, environment)
    settings, notes = located(settings, data, here)
    return Loaded(settings, tuple(files), data, (*gathered.notes, *notes), tuple(gathered.secret_files))


def _gathered(files: list[Path], environment: Mapping[str, str]) -> Gathered:
    gathered = Gathered()
    read_files(files, gathered)
    read_environment(environment, gathered)
    gathered.check_names()
    read_secrets(gathered)
    return gathered


def _validated(gathered: Gathered) -> Settings:
    try:
        return Settings.model_validate(gathered.values)
    except ValidationError as error:
        raise SettingsError("\n".join(_readable(problem, gathered) for problem in error.errors())) from error


def _readable(problem: Any, gathered: Gathered) -> str:
    place = tuple(problem["loc"])
    named = ".".join(map(str, place))
    said = problem["msg"]
    if problem["type"] == "extra_forbidden":
        said = f"there is no such setting{_meant(place)}"
    origin = gathered.origin(place)
    where = f" ({origin})" if origin else ""
    return f"{named}: {said}{where}" if named else f"{said}{where}"


def _meant(place: tuple[Any, ...]) -> str:
    """The nearest name beside a wrong one; else the section that has a setting of this name."""
    *above, key = place
    if not above:
        return suggestion(key, Settings.model_fields)
    prefix = ".".join(map(str, above))
    if above[0] == CHANNELS:
        model = destination_type(str(above[1])) if len(above) > 1 else section_type(CHANNELS)
    else:
        model = section_type(str(above[0]))
    near = suggestion(key, model.model_fields if model else (), f"{prefix}.")
    elsewhere = [f"{section}.{key}" for section, wanted in variables().values() if wanted == key]
    return near or (f": did you mean {' or '.join(elsewhere)}?" if elsewhere else "")
