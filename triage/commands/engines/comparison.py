"""Parts that commands of a store in PostgreSQL and S3 share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from triage.commands.base import CannotStart, open_spool
from triage.settings.schema import Settings

if TYPE_CHECKING:
    from triage.spool.comparing.opening import OpenedComparison

EXIT_UNFINISHED = 3
"""The exit status of a comparison that could not be ended: it says nothing of what was not looked at."""


class UnfinishedError(click.ClickException):
    """A comparison that an engine, or a list of it, has ended."""

    exit_code = EXIT_UNFINISHED

    def __init__(self, why: Exception, last: str) -> None:
        on = f"; what is up to {last} was looked at: call it again with --after {last}" if last else ""
        super().__init__(f"{why}{on}")


def opened_comparison(settings: Settings) -> OpenedComparison:
    """Return the comparison of the bucket and the database of the settings. Raises CannotStart."""
    from triage.service.store import store_address
    from triage.spool.comparing.opening import open_comparison

    address = store_address(settings)
    if isinstance(address, Path):
        raise CannotStart("the store is one of files (store.kind): there is no bucket to compare with a database")
    open_spool(settings)  # with the tables of this release
    try:
        return open_comparison(address)
    except OSError as error:
        raise CannotStart(str(error)) from error
