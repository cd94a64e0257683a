"""The settings as a reference: `triage settings` and docs/reference/settings.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, get_args

from pydantic import SecretStr

from triage.channels.settings import Destination
from triage.settings.destinations import ChannelsSettings
from triage.settings.load import variables
from triage.settings.schema import Settings
from triage.settings.sources import CHANNELS, secret_files_of, section_type

_MASK = json.dumps(str(SecretStr("any")))


def dump(settings: Settings) -> str:
    """The settings as TOML, secrets masked."""
    tables = []
    for section, values in settings.model_dump(mode="json").items():
        if section == CHANNELS:
            tables += [_table(f"[[{section}.{kind}]]", each) for kind, many in values.items() for each in many]
        else:
            tables.append(_table(f"[{section}]", values))
    return "\n\n".join(tables) + "\n"


def revision(settings: Settings) -> str:
    """Twelve hexadecimal digits that are the same where all settings are, of ``dump``'s SHA-256.

    Secrets are not in them, not even whether there is one, or in which file: `triage up` gives its processes the
    address of its Redis, and systemd each unit a file of its own.
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


def reference() -> str:
    """The settings as a Markdown table, generated from their descriptions."""
    rows = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    defaults = Settings().model_dump(mode="json")
    for name, (section, key) in variables().items():
        model = section_type(section)
        assert model is not None
        field = model.model_fields[key]
        default = json.dumps(defaults[section][key])
        rows.append(f"| `{section}.{key}` | `{name}` | `{default}` | {field.description} |")
    return "\n".join(rows) + "\n"


def channels_reference() -> str:
    """The settings of destinations as Markdown tables, one for each kind, generated from their descriptions."""
    return "\n".join(_kind_reference(kind) for kind in ChannelsSettings.model_fields)


def _kind_reference(kind: str) -> str:
    rows = [f"### `[[{CHANNELS}.{kind}]]`", "", "| setting | default | meaning |", "|---|---|---|"]
    for key, field in _destination_type(kind).model_fields.items():
        default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
        rows.append(f"| `{key}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def _destination_type(kind: str) -> type[Destination]:
    found: type[Destination] = get_args(ChannelsSettings.model_fields[kind].annotation)[0]
    return found


def _table(heading: str, values: Mapping[str, Any]) -> str:
    return "\n".join([heading, *(f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None)])
