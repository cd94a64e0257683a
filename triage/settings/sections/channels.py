"""Settings of the destinations, ``[[channels.sr]]`` and so on in the settings file; none by default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import Field, create_model, model_validator

from triage.channels.registry import channel_kinds
from triage.channels.settings import Destination, DICOMDestination
from triage.setting_types import Section

D = TypeVar("D", bound=Destination)


class _Channels(Section):
    """Channels of every registered kind: a list of destinations each, in the settings file only."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [each.name for each in self.all()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"destinations need names of their own: {', '.join(twice)}")
        return self

    def all(self) -> tuple[Destination, ...]:
        """Return every destination of every kind, enabled or not."""
        return tuple(each for kind in type(self).model_fields for each in getattr(self, kind))

    def of_type(self, kind: type[D]) -> tuple[D, ...]:
        """Return the destinations that are switched on and of this kind."""
        return tuple(each for each in self.all_of_type(kind) if each.enabled)

    def all_of_type(self, kind: type[D]) -> tuple[D, ...]:
        """Return the destinations of this kind, switched on or not."""
        return tuple(each for each in self.all() if isinstance(each, kind))

    def enabled(self) -> tuple[Destination, ...]:
        """Return the destinations that are enabled."""
        return tuple(each for each in self.all() if each.enabled)

    def certificates(self) -> tuple[tuple[Path, Path], ...]:
        """Return the different certificates, with their keys, that DICOM destinations are shown."""
        dicom = [each for each in self.enabled() if isinstance(each, DICOMDestination)]
        return tuple(dict.fromkeys((d.tls_certificate, d.tls_key) for d in dicom if d.tls_certificate and d.tls_key))

    def with_canary(self) -> tuple[Destination, ...]:
        """Return the enabled destinations that the canary is delivered to."""
        return tuple(each for each in self.enabled() if each.canary)


def _fields() -> dict[str, Any]:
    return {
        kind.name: (tuple[kind.destination, ...], Field((), description=kind.summary))  # type: ignore[name-defined]
        for kind in channel_kinds()
    }


if TYPE_CHECKING:
    ChannelsSettings = _Channels
else:
    ChannelsSettings = create_model("ChannelsSettings", __base__=_Channels, __module__=__name__, **_fields())
