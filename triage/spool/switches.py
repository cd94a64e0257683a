"""Kill switches: one empty file for each model or destination that a person has disabled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from triage.runtime.durable import fsync_folder
from triage.spool.processes import checked_switch


class Switches:
    """The switches in one folder, for every process at once and across restarts; ``write`` writes a file durably."""

    def __init__(self, folder: Path, write: Callable[[Path, str], None]) -> None:
        self._folder, self._write = folder, write

    def disabled(self) -> frozenset[str]:
        """Return the names that are disabled."""
        return frozenset(path.name for path in self._folder.iterdir())

    def is_disabled(self, name: str) -> bool:
        """Return whether ``name`` is disabled."""
        return (self._folder / name).exists()

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable or enable ``name``. Raises ValueError for a name that must not be part of a path."""
        checked_switch(name)
        if disabled:
            self._write(self._folder / name, "")
        else:
            (self._folder / name).unlink(missing_ok=True)
            fsync_folder(self._folder)
