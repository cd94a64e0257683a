"""Answers while the database of users and sessions is away: 503, and no session is taken for ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException

from triage.errors import cause

logger = logging.getLogger(__name__)


class AccessAwayError(HTTPException):
    """It cannot be known who asks: the answer is 503, and what was shown before is asked for again."""

    def __init__(self) -> None:
        super().__init__(503, "the database of users and sessions does not answer: see the log of the web process")


@contextmanager
def answering() -> Iterator[None]:
    """Turn an OSError of the database into AccessAwayError, after an entry in the log."""
    try:
        yield
    except OSError as error:
        logger.error("sign-in: the database of users and sessions does not answer: %s", cause(error))
        raise AccessAwayError from error
