"""``triage store bring-back``: objects that rows name, and that a bucket with versioning has as deleted."""

from __future__ import annotations

import sys

import click

from triage.commands.base import Invocation, given
from triage.commands.engines.comparison import UnfinishedError, opened_comparison


@click.command("bring-back")
@click.option("--after", default="", metavar="KEY", help="Go on behind this key, which a call that ended early names.")
@given
def command(invocation: Invocation, after: str) -> None:
    """Remove the delete markers of objects that rows name: after the database was restored to an earlier time.

    Needs a bucket with versioning, and keys of a user who may list and delete versions. Nothing else is changed, and
    it may be called again. Status 0: every row has its object; 1: some have none, which are listed; 3: it could not be
    finished.
    """
    settings = invocation.settings()
    from triage.commands.output.comparison import show_finding
    from triage.commands.store.compare import looked_through
    from triage.spool.comparing.values import Fault, Look, LookCounts

    opened, counts = opened_comparison(settings), LookCounts()
    back = lost = 0
    for each in looked_through(opened.comparison, Look(after), counts):
        if each.fault is not Fault.MISSING:
            continue
        try:
            found = opened.versions.bring_back(each.key)
        except OSError as error:
            raise UnfinishedError(error, counts.last) from error
        if found:
            back += 1
        else:
            lost += 1
            show_finding(each, as_json=False)
    click.echo(f"{counts.rows} rows: {back} objects are back, {lost} are not in the bucket in any version")
    sys.exit(1 if lost else 0)
