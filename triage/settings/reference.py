"""The settings as a reference: `triage settings`, the tables of docs/reference, and the revision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from pydantic import SecretStr

from triage.settings.fields import CHANNELS, destination_type, fields_of, secret_files_of, section_type
from triage.settings.schema import ReadBy, Settings
from triage.settings.sections.channels import ChannelsSettings
from triage.settings.sources.variables import variables

_MASK = json.dumps(str(SecretStr("any")))


def dump(settings: Settings) -> str:
    """Return the settings as TOML, secrets masked."""
    tables = []
    for section, values in settings.model_dump(mode="json").items():
        if section == CHANNELS:
            tables += [_toml(f"[[{section}.{kind}]]", each) for kind, many in values.items() for each in many]
        else:
            tables.append(_toml(f"[{section}]", values))
    return "\n\n".join(tables) + "\n"


def revision(settings: Settings) -> str:
    """Return twelve hexadecimal digits of ``dump``'s SHA-256, which are the same where all settings are.

    Secrets are left out, also whether there is one and in which file: `triage up` gives its processes the address of
    its Redis, and systemd each unit a file of its own.
    """
    return sha256(dump(_without_secret_files(settings)).replace(_MASK, '""').encode()).hexdigest()[:12]


def _without_secret_files(settings: Settings) -> Settings:
    named = {section: secret_files_of(section_type(section)) for section in Settings.model_fields}
    return settings.model_copy(
        update={
            section: getattr(settings, section).model_copy(update=dict.fromkeys(keys))
            for section, keys in named.items()
            if keys
        }
    )


def readers(section: str) -> tuple[str, ...]:
    """Return the processes that read a section."""
    return next(each.processes for each in Settings.model_fields[section].metadata if isinstance(each, ReadBy))


def reference() -> str:
    """Return the settings of all sections as a Markdown table, generated from their descriptions."""
    rows = ["| setting | variable | default | read by | meaning |", "|---|---|---|---|---|"]
    defaults = Settings().model_dump(mode="json")
    for name, (section, key) in variables().items():
        field = fields_of(section_type(section))[key]
        default, processes = json.dumps(defaults[section][key]), ", ".join(readers(section))
        rows.append(f"| `{section}.{key}` | `{name}` | `{default}` | {processes} | {field.description} |")
    return "\n".join(rows) + "\n"


def channels_reference() -> str:
    """Return the settings of destinations as Markdown tables, one for each kind, generated from their descriptions."""
    return "\n".join(_kind_reference(kind) for kind in ChannelsSettings.model_fields)


def _kind_reference(kind: str) -> str:
    rows = [f"### `[[{CHANNELS}.{kind}]]`", "", "| setting | default | meaning |", "|---|---|---|"]
    for key, field in fields_of(destination_type(kind)).items():
        default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
        rows.append(f"| `{key}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def _toml(heading: str, values: Mapping[str, object]) -> str:
    return "\n".join([heading, *(f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None)])
