"""One validated settings object, from a TOML file and TRIAGE_... variables. Unknown keys are errors.

Sections are TOML tables. The variable of a setting is TRIAGE_<SECTION>_<KEY>, and wins over the file. Only ``cli.py``
reads the environment; everything else is handed the values it needs.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from triage.setting_types import Section
from triage.settings.renamed import TwiceError, in_new_spelling, variable
from triage.settings.schema import Settings

logger = logging.getLogger(__name__)

PREFIX = "TRIAGE_"
NOT_SETTINGS = frozenset({"TRIAGE_DATA", "TRIAGE_CONFIG"})
"""Variables with our prefix that are read elsewhere: sample and test data, and the path of the settings file."""


IN_THE_FILE_ONLY = "channels"  # lists of tables: no variable could name one


class SettingsError(Exception):
    """The settings cannot be used; the message names every wrong key."""


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Settings from a TOML file (or none) and the environment's TRIAGE_ variables, which win.

    Raises SettingsError that names each unknown or wrong key.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"settings file {path}: {error}") from error
    try:
        values = in_new_spelling(values, logger.warning)
    except TwiceError as error:
        raise SettingsError(f"settings file {path}: {error}") from error
    environment = _in_new_spelling(environment)
    for name, (section, key) in _named_in(environment).items():
        table = values.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"settings file {path}: {section} must be a table")
        table[key] = _parsed(environment[name], section, key)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_readable(problem) for problem in error.errors())) from error


def variables() -> dict[str, tuple[str, str]]:
    """Every environment variable that is a setting, with its section and key."""
    return {
        f"{PREFIX}{section}_{key}".upper(): (section, key)
        for section, field in Settings.model_fields.items()
        if section != IN_THE_FILE_ONLY
        for key in section_type(field.annotation).model_fields
    }


def _in_new_spelling(environment: Mapping[str, str]) -> dict[str, str]:
    named = [(variable(name, logger.warning), name) for name in environment]
    if twice := sorted(name for new, name in named if new != name and new in environment):
        raise SettingsError(f"former names of variables that are given, too: {', '.join(twice)}: remove them")
    return {new: environment[name] for new, name in named}


def _named_in(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    known = variables()
    ours = {name for name in environment if name.startswith(PREFIX)} - NOT_SETTINGS
    if unknown := sorted(ours - known.keys()):
        raise SettingsError(f"unknown environment variables: {', '.join(unknown)}")
    return {name: known[name] for name in sorted(ours)}


def _parsed(text: str, section: str, key: str) -> Any:
    """Lists are separated by commas, what may be unset is by an empty text, and all else is the model's to read."""
    default = getattr(getattr(Settings(), section), key)
    if default is None:
        return text or None
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def section_type(annotation: Any) -> type[Section]:
    assert isinstance(annotation, type)
    assert issubclass(annotation, Section)
    return annotation


def _readable(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])
