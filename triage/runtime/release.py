"""Version of the package and revision of the settings, in one form wherever they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

RELEASE = version("cxr-triage")
"""The version of this package."""


@dataclass(frozen=True)
class Running:
    """Version of a process. ``settings``: the revision of its settings, without secrets; empty if not known."""

    settings: str = ""
    version: str = RELEASE

    def __str__(self) -> str:
        return f"cxr-triage {self.version}" + (f", settings {self.settings}" if self.settings else "")


UNKNOWN = Running()
"""Without a revision of settings."""
