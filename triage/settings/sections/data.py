"""Settings of the data folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from triage.setting_types import Section


class DataSettings(Section):
    """Folder of everything that has no place of its own."""

    path: Path | None = Field(
        None,
        description="Folder that relative paths of all settings lie in; itself relative to the settings file. Empty: "
        "the folder of spool.path where that is absolute, else `var` next to the settings file; without one the "
        "checkout's `var`, or `cxr-triage` in the user's state folder (XDG_STATE_HOME, ~/.local/state).",
    )
