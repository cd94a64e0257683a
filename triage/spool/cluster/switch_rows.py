"""Kill switches as entries: one for each model or destination that a person has disabled."""

from __future__ import annotations

from triage.spool.entries import Entries
from triage.spool.processes import checked_switch


class EntrySwitches:
    """The switches in one place; see ``SwitchSet``."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def disabled(self) -> frozenset[str]:
        """Return the names that are disabled."""
        return frozenset(self._entries.names())

    def is_disabled(self, name: str) -> bool:
        """Return whether ``name`` is disabled."""
        return self._entries.has(name)

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable or enable ``name``, durably. Raises ValueError for a name that cannot be one."""
        checked_switch(name)
        if disabled:
            self._entries.put(name, "")
        else:
            self._entries.remove(name, durable=True)
