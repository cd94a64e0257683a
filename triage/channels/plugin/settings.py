"""Settings of this channel's destinations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from triage.channels.settings import Destination


class PluginDestination(Destination):
    """A destination of a kind that a plug-in registers; its own settings are checked where it is used."""

    one_at_a_time: ClassVar[bool] = True

    plugin: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*:[a-z][a-z0-9_-]{0,47}$",
        description="DIST:NAME of the channel, which plugins.enabled names with its version.",
    )
    options: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*=")], ...] = Field(
        (), description="KEY=VALUE for each setting that the plug-in has in addition."
    )
    secret: SecretStr | None = Field(None, description="The plug-in's setting of that name, where it has one.")

    @property
    def values(self) -> dict[str, str]:
        """Settings of the plug-in by name, as texts."""
        return {key: value for key, _, value in (each.partition("=") for each in self.options)}

    @model_validator(mode="after")
    def _says_each_once(self) -> Self:
        if len(self.values) < len(self.options):
            raise ValueError("options names one setting twice")
        if taken := sorted(self.values.keys() & type(self).model_fields.keys()):
            raise ValueError(f"options may not name {', '.join(taken)}: it is a setting of every destination")
        return self

    @model_validator(mode="after")
    def _has_one_connection(self) -> Self:
        if self.connections > 1:
            raise ValueError("connections: the channel of a plug-in is called for one thing at a time, so it has one")
        return self

    @model_validator(mode="after")
    def _has_no_canary(self) -> Self:
        if self.canary:
            raise ValueError("canary: the canary is not delivered by plug-ins, whose code sweep does not load")
        return self
