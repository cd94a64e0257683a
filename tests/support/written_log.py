"""What a process would write into its log, with its limits."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from triage.runtime.logs import LimitedHandler, LineFormatter


@contextmanager
def written_log() -> Iterator[io.StringIO]:
    """The lines of ``triage`` while it is open: messages alone."""
    written = io.StringIO()
    handler, logger = LimitedHandler(written), logging.getLogger("triage")
    handler.setFormatter(LineFormatter("%(message)s"))
    logger.addHandler(handler)
    try:
        yield written
    finally:
        logger.removeHandler(handler)
