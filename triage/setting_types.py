"""What the sections of the settings are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

AETitle = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[^\\\x00-\x1f]*[^\\\x00-\x20]$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A TOML table: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
