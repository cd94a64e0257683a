"""Errors of one study, as against those that every study meets."""

from __future__ import annotations

import errno

from triage.spool.store import Store

_OF_THE_SPOOL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that every study meets, whichever meets them first."""


def is_of_one_study(error: OSError, store: Store) -> bool:
    """Return whether an error met in the work on a study is of that study alone: the store takes others."""
    return error.errno not in _OF_THE_SPOOL and store.takes_studies()
