"""Settings in the environment: TRIAGE_SECTION_KEY, and TRIAGE_CHANNELS__KIND__NAME__KEY of destinations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args, get_origin

from triage.settings.did_you_mean import suggestion
from triage.settings.errors import SettingsError
from triage.settings.fields import CHANNELS, FILE, destination_type, fields_of, secrets_of, section_type
from triage.settings.renamed import variable
from triage.settings.schema import Settings
from triage.settings.sources.merged import MergedSettings, Origin

PREFIX = "TRIAGE_"
OF_DESTINATIONS = f"{PREFIX}CHANNELS__"
NOT_SETTINGS = frozenset({"TRIAGE_DATA", "TRIAGE_CONFIG"})
"""Variables with our prefix that are read elsewhere: sample and test data, and the path of the settings file."""


def variables() -> dict[str, tuple[str, str]]:
    """Return every environment variable that is a setting of a section, with its section and key."""
    return {
        f"{PREFIX}{section}_{key}".upper(): (section, key)
        for section in Settings.model_fields
        if section != CHANNELS
        for key in fields_of(section_type(section))
    }


def secret_variables() -> dict[str, tuple[str, str]]:
    """Return every variable that names the file of a section's secret, with the section and the key ``…_file``."""
    return {
        f"{PREFIX}{section}_{key}{FILE}".upper(): (section, key + FILE)
        for section in Settings.model_fields
        if section != CHANNELS
        for key in sorted(secrets_of(section_type(section)))
    }


def read_environment(environment: Mapping[str, str], merged: MergedSettings) -> list[str]:
    """Add the settings in TRIAGE_ variables. Return notes on old spellings.

    Raises SettingsError that names the variable.
    """
    notes: list[str] = []
    environment = _in_new_spelling(environment, notes)
    ours = sorted({name for name in environment if name.startswith(PREFIX)} - NOT_SETTINGS)
    known = variables() | secret_variables()
    unknown = [name for name in ours if name not in known and not name.startswith(OF_DESTINATIONS)]
    if unknown:
        listed = "; ".join(name + suggestion(name, known) for name in unknown)
        raise SettingsError(f"unknown environment variables: {listed}")
    for name in ours:
        origin = Origin(f"the variable {name}")
        if name.startswith(OF_DESTINATIONS):
            _set_in_destination(name, environment[name], merged, origin)
        else:
            section, key = known[name]
            merged.set(section, key, _value(environment[name], _annotation(section, key)), origin)
    return notes


def _in_new_spelling(environment: Mapping[str, str], notes: list[str]) -> dict[str, str]:
    named = [(variable(name, notes.append), name) for name in environment]
    if twice := sorted(name for new, name in named if new != name and new in environment):
        raise SettingsError(f"former names of variables that are given, too: {', '.join(twice)}: remove them")
    return {new: environment[name] for new, name in named}


def _set_in_destination(variable: str, text: str, merged: MergedSettings, origin: Origin) -> None:
    parts = variable.removeprefix(OF_DESTINATIONS).lower().split("__")
    if len(parts) != 3 or not all(parts):
        raise SettingsError(f"{variable}: a destination's setting is called {OF_DESTINATIONS}KIND__NAME__KEY")
    kind, name, key = parts
    model = destination_type(kind)
    if model is None:
        kinds = fields_of(section_type(CHANNELS))
        raise SettingsError(f"{variable}: there is no kind of destination {kind}{suggestion(kind, kinds)}")
    keys = {*model.model_fields, *(secret + FILE for secret in secrets_of(model))} - {"name"}
    if key not in keys:
        raise SettingsError(f"{variable}: a destination of the kind {kind} has no {key}{suggestion(key, keys)}")
    annotation = model.model_fields[key].annotation if key in model.model_fields else None
    merged.set_in_destination(kind, name, key, _value(text, annotation), origin)


def _annotation(section: str, key: str) -> object:
    found = fields_of(section_type(section)).get(key)
    return found.annotation if found is not None else str


def _value(text: str, annotation: object) -> str | list[str] | None:
    """Return a list for a setting that is one (separated by commas), None for an empty text where it may be unset."""
    if get_origin(annotation) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if type(None) in get_args(annotation):
        return text or None
    return text
