"""Settings in the environment, in files of secrets, and in systemd's credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_origin

from triage.settings.did_you_mean import suggestion
from triage.settings.renamed import variable
from triage.settings.schema import Settings
from triage.settings.sources import (
    CHANNELS,
    FILE,
    Gathered,
    Origin,
    SettingsError,
    destination_type,
    secret_files_of,
    secrets_of,
    section_type,
)

PREFIX = "TRIAGE_"
OF_DESTINATIONS = f"{PREFIX}CHANNELS__"
CREDENTIALS = "triage."
NOT_SETTINGS = frozenset({"TRIAGE_DATA", "TRIAGE_CONFIG"})
"""Variables with our prefix that are read elsewhere: sample and test data, and the path of the settings file."""

_LONGEST_SECRET = 64 << 10


def variables() -> dict[str, tuple[str, str]]:
    """Every environment variable that is a setting of a section, with its section and key."""
    return {
        f"{PREFIX}{section}_{key}".upper(): (section, key)
        for section in Settings.model_fields
        if section != CHANNELS
        for key in _fields(section_type(section))
    }


def secret_variables() -> dict[str, tuple[str, str]]:
    """Every variable that names the file of a secret of a section, with the section and the key ``…_file``."""
    return {
        f"{PREFIX}{section}_{key}{FILE}".upper(): (section, key + FILE)
        for section in Settings.model_fields
        if section != CHANNELS
        for key in sorted(secrets_of(section_type(section)))
    }


def read_environment(environment: Mapping[str, str], gathered: Gathered) -> None:
    """Add what TRIAGE_ variables and systemd's credentials say. Raises SettingsError that names the variable."""
    environment = _in_new_spelling(environment, gathered)
    ours = sorted({name for name in environment if name.startswith(PREFIX)} - NOT_SETTINGS)
    known = variables() | secret_variables()
    unknown = [name for name in ours if name not in known and not name.startswith(OF_DESTINATIONS)]
    if unknown:
        said = "; ".join(name + suggestion(name, known) for name in unknown)
        raise SettingsError(f"unknown environment variables: {said}")
    for name in ours:
        origin = Origin(f"the variable {name}")
        if name.startswith(OF_DESTINATIONS):
            _destination(name, environment[name], gathered, origin)
        else:
            section, key = known[name]
            gathered.set(section, key, _parsed(environment[name], _annotation(section, key)), origin)
    _read_credentials(environment, gathered)


def _in_new_spelling(environment: Mapping[str, str], gathered: Gathered) -> dict[str, str]:
    named = [(variable(name, gathered.notes.append), name) for name in environment]
    if twice := sorted(name for new, name in named if new != name and new in environment):
        raise SettingsError(f"former names of variables that are given, too: {', '.join(twice)}: remove them")
    return {new: environment[name] for new, name in named}


def read_secrets(gathered: Gathered) -> None:
    """Put the content of files in the place of the settings that name them. Raises SettingsError."""
    for where, table, secret in _secrets(gathered):
        named = table.pop(secret + FILE, None)
        if named is not None:
            table[secret] = _content(named, f"{where}.{secret}{FILE}")
            gathered.secret_files.append(Path(named))


def _secrets(gathered: Gathered) -> Iterator[tuple[str, dict[str, Any], str]]:
    for section, table in gathered.values.items():
        if section != CHANNELS and isinstance(table, dict):
            for secret in secrets_of(section_type(section)):
                yield section, table, secret
    for kind, many in gathered.destinations():
        for each in many:
            for secret in secrets_of(destination_type(kind)) if isinstance(each, dict) else ():
                yield f"{CHANNELS}.{kind} {each.get('name', '')}", each, secret


def _content(named: object, what: str) -> str:
    """A secret's file without the end of its line. The message quotes nothing of it."""
    if not isinstance(named, str) or not Path(named).is_absolute():
        raise SettingsError(f"{what}: the file of a secret needs an absolute path")
    try:
        with Path(named).open("rb") as file:
            content = file.read(_LONGEST_SECRET + 1)
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{what}: {named} is no text in UTF-8") from error
    except OSError as error:
        raise SettingsError(f"{what}: {error}") from error
    if not text or len(content) > _LONGEST_SECRET:
        raise SettingsError(f"{what}: {named} is {'too long' if text else 'empty'}")
    return text


def _destination(variable: str, text: str, gathered: Gathered, origin: Origin) -> None:
    """One setting of a destination: TRIAGE_CHANNELS__KIND__NAME__KEY."""
    parts = variable.removeprefix(OF_DESTINATIONS).lower().split("__")
    if len(parts) != 3 or not all(parts):
        raise SettingsError(f"{variable}: a destination's setting is called {OF_DESTINATIONS}KIND__NAME__KEY")
    kind, name, key = parts
    _check(kind, key, variable)
    model = destination_type(kind)
    assert model is not None
    annotation = model.model_fields[key].annotation if key in model.model_fields else None
    gathered.set_in_destination(kind, name, key, _parsed(text, annotation), origin)


def _check(kind: str, key: str, named: str) -> None:
    """Raise SettingsError unless there is such a kind of destination, and such a setting of it."""
    model = destination_type(kind)
    if model is None:
        kinds = _fields(section_type(CHANNELS))
        raise SettingsError(f"{named}: there is no kind of destination {kind}{suggestion(kind, kinds)}")
    keys = {*model.model_fields, *(secret + FILE for secret in secrets_of(model))} - {"name"}
    if key not in keys:
        raise SettingsError(f"{named}: a destination of the kind {kind} has no {key}{suggestion(key, keys)}")


def _read_credentials(environment: Mapping[str, str], gathered: Gathered) -> None:
    """Secrets that systemd hands over (LoadCredential=): triage.SECTION.KEY, triage.channels.KIND.NAME.KEY."""
    if not (folder := environment.get("CREDENTIALS_DIRECTORY")):
        return
    for path in sorted(Path(folder).glob(f"{CREDENTIALS}*")):
        _credential(path, path.name.removeprefix(CREDENTIALS).split("."), gathered)


def _credential(path: Path, parts: list[str], gathered: Gathered) -> None:
    origin = Origin(f"the credential {path.name}")
    match parts:
        case [section, key] if key in _given_to(section):
            gathered.set(section, key + FILE, str(path), origin)
        case ["channels", kind, name, key] if key in secrets_of(destination_type(kind)):
            gathered.set_in_destination(kind, name, key + FILE, str(path), origin)
        case _:
            known = [
                f"{CREDENTIALS}{section}.{key}"
                for section in Settings.model_fields
                for key in sorted(_given_to(section))
            ]
            raise SettingsError(
                f"{path.name} is the credential of no secret{suggestion(path.name, known)}; there are "
                f"{', '.join(known)} and {CREDENTIALS}channels.webhook.NAME.secret"
            )


def _given_to(section: str) -> frozenset[str]:
    """The secrets of a section that a credential may be: in the settings, or in a file that they name."""
    model = section_type(section)
    return secrets_of(model) | {key.removesuffix(FILE) for key in secret_files_of(model)}


def _annotation(section: str, key: str) -> Any:
    found = _fields(section_type(section)).get(key)
    return found.annotation if found is not None else str


def _fields(model: Any) -> dict[str, Any]:
    return dict(model.model_fields) if model is not None else {}


def _parsed(text: str, annotation: Any) -> Any:
    """Lists are separated by commas, what may be unset is by an empty text, and all else is the model's to read."""
    if get_origin(annotation) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if type(None) in getattr(annotation, "__args__", ()):
        return text or None
    return text
