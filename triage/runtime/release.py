"""What runs: the version of the package and the revision of the settings, said alike by whatever says it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

RELEASE = version("cxr-triage")
"""The version of this package."""


@dataclass(frozen=True)
class Running:
    """What a process runs. ``settings``: the revision of the settings in force, of no secret; empty if not known."""

    settings: str = ""
    version: str = RELEASE

    def __str__(self) -> str:
        return f"cxr-triage {self.version}" + (f", settings {self.settings}" if self.settings else "")


UNKNOWN = Running()
"""With settings of which nobody has said anything."""
