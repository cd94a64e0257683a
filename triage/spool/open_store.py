"""The choice of the store's implementation: the one place that names it."""

from __future__ import annotations

from pathlib import Path

from triage.spool.spool import Spool
from triage.spool.store import Store


def open_store(path: Path) -> Store:
    """Open the store whose files lie at ``path``, made if it is not there.

    Raises SpoolError for a folder that holds another thing or another version; OSError.
    """
    return Spool.open(path)


def store_at(path: Path) -> Store:
    """Return the store whose files lie at ``path``, without a look at it: there may be none (``Store.exists``)."""
    return Spool(path)
