"""Errors in the records of one study, which must not end the work on all others."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from triage.errors import cause

logger = logging.getLogger(__name__)

UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""Raised for a disk error of one file, and for records that are damaged or of another release."""


@contextmanager
def one_study(uid: str) -> Iterator[None]:
    """Log an error in the files of the study ``uid`` and go on: a worker cannot start before a sweep has ended."""
    try:
        yield
    except UNREADABLE as error:
        logger.error("sweep: study %s: %s", uid, cause(error))
