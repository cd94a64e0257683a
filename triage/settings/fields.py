"""Look-up of sections, kinds of destinations and their fields by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from triage.channels.settings import Destination
from triage.setting_types import Section
from triage.settings.schema import Settings
from triage.settings.sections.channels import ChannelsSettings

CHANNELS = "channels"
FILE = "_file"
"""Suffix of the setting that names the file of a secret."""


def section_type(name: str) -> type[Section] | None:
    """Return the model of a section; None if there is none of that name."""
    found = Settings.model_fields.get(name)
    kind = found.annotation if found is not None else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def destination_type(kind: str) -> type[Destination] | None:
    """Return the model of a kind of destination; None if there is no such kind."""
    found = ChannelsSettings.model_fields.get(kind)
    types = get_args(found.annotation) if found is not None else ()
    return next((each for each in types if isinstance(each, type) and issubclass(each, Destination)), None)


def fields_of(model: type[Section] | None) -> Mapping[str, FieldInfo]:
    """Return the fields of a model by name; none for None."""
    return model.model_fields if model is not None else {}


def secrets_of(model: type[Section] | None) -> frozenset[str]:
    """Return the settings of a model that are secrets."""
    return frozenset(key for key, each in fields_of(model).items() if each.annotation is SecretStr)


def secret_files_of(model: type[Section] | None) -> frozenset[str]:
    """Return the settings of a model that name the file of a secret which is read when it is used."""
    return frozenset(key for key in fields_of(model) if key.endswith((f"password{FILE}", f"secret{FILE}")))
