"""Secrets that lie in files of their own: those that settings name, and the credentials of systemd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from triage.settings.did_you_mean import suggestion
from triage.settings.errors import SecretFileError, SettingsError
from triage.settings.fields import CHANNELS, FILE, destination_type, secret_files_of, secrets_of, section_type
from triage.settings.schema import Settings
from triage.settings.secret_file import read_secret
from triage.settings.sources.merged import MergedSettings, Origin, Table

CREDENTIALS = "triage."
"""Prefix of our credentials: triage.SECTION.KEY, triage.channels.KIND.NAME.KEY."""


def add_credentials(environment: Mapping[str, str], merged: MergedSettings) -> None:
    """Name the files that systemd hands over (LoadCredential=) as those of secrets. Raises SettingsError."""
    if not (folder := environment.get("CREDENTIALS_DIRECTORY")):
        return
    for path in sorted(Path(folder).glob(f"{CREDENTIALS}*")):
        _add_credential(path, path.name.removeprefix(CREDENTIALS).split("."), merged)


def _add_credential(path: Path, parts: list[str], merged: MergedSettings) -> None:
    origin = Origin(f"the credential {path.name}")
    match parts:
        case [section, key] if key in _credentials_of(section):
            merged.set(section, key + FILE, str(path), origin)
        case ["channels", kind, name, key] if key in secrets_of(destination_type(kind)):
            merged.set_in_destination(kind, name, key + FILE, str(path), origin)
        case _:
            known = [
                f"{CREDENTIALS}{section}.{key}"
                for section in Settings.model_fields
                for key in sorted(_credentials_of(section))
            ]
            raise SettingsError(
                f"{path.name} is the credential of no secret{suggestion(path.name, known)}; there are "
                f"{', '.join(known)} and {CREDENTIALS}channels.webhook.NAME.secret"
            )


def _credentials_of(section: str) -> frozenset[str]:
    """Return the secrets of a section that a credential may hold: in the settings, or in a file that they name."""
    model = section_type(section)
    return secrets_of(model) | {key.removesuffix(FILE) for key in secret_files_of(model)}


def read_secret_files(merged: MergedSettings) -> list[Path]:
    """Replace each ``…_file`` of a secret by the secret in it. Return the files. Raises SettingsError."""
    files = []
    for where, table, secret in _secrets(merged):
        named = table.pop(secret + FILE, None)
        if named is None:
            continue
        setting = f"{where}.{secret}{FILE}"
        if not isinstance(named, str) or not Path(named).is_absolute():
            raise SettingsError(f"{setting}: the file of a secret needs an absolute path")
        try:
            table[secret] = read_secret(Path(named))
        except SecretFileError as error:
            raise SettingsError(f"{setting}: {error}") from error
        files.append(Path(named))
    return files


def _secrets(merged: MergedSettings) -> Iterator[tuple[str, Table, str]]:
    """Yield where each secret may be: its section or destination in words, its table, and its key."""
    for section, table in merged.values.items():
        if section != CHANNELS and isinstance(table, dict):
            for secret in secrets_of(section_type(section)):
                yield section, table, secret
    for kind, many in merged.destinations():
        for each in many:
            if not isinstance(each, dict):
                continue  # the schema refuses it
            for secret in secrets_of(destination_type(kind)):
                yield f"{CHANNELS}.{kind} {each.get('name', '')}", each, secret
