"""``triage store compare``: a bucket, and the database whose rows name its keys."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from triage.commands.base import PATH, Invocation, given
from triage.commands.engines.comparison import UnfinishedError, opened_comparison
from triage.commands.engines.state import told_against

if TYPE_CHECKING:
    from collections.abc import Iterator

    from triage.spool.comparing.comparison import StoreComparison
    from triage.spool.comparing.values import Finding, Look, LookCounts

_PROGRESS_KEYS = 100_000


@click.command("compare")
@click.option("--read", is_flag=True, help="Read every object, and compare its SHA-256 with that of its row.")
@click.option("--after", default="", metavar="KEY", help="Go on behind this key, which a call that ended early names.")
@click.option("--backup", type=PATH, help="First compare both with the last backup in this folder of triage backup.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each difference, and one of the counts.")
@given
def command(invocation: Invocation, read: bool, after: str, backup: Path | None, as_json: bool) -> None:
    """Compare the bucket with the rows that name its keys, and change nothing. The service may be at work.

    Listed are rows whose object the bucket lacks or has otherwise, and keys that no row names: those of uploads, and
    those that the sweep is to delete, are no such. Status 0: all is as it should be; 1: something differs; 3: it could
    not be finished.
    """
    settings = invocation.settings()
    from triage.commands.output.comparison import ComparisonTally, show_counts, show_finding
    from triage.spool.comparing.values import Look, LookCounts

    comparison = opened_comparison(settings).comparison
    agrees = backup is None or told_against(_engines_in(backup), settings)
    counts, tally = LookCounts(), ComparisonTally()
    for each in looked_through(comparison, Look(after, read=read), counts):
        tally.add(each)
        show_finding(each, as_json)
    show_counts(counts, tally, as_json)
    sys.exit(0 if agrees and not tally.differ else 1)


def _engines_in(folder: Path) -> Mapping[str, Any]:
    """Return the state of the engines that the last backup noted. Raises ClickException."""
    from triage.backup.archive import Archive
    from triage.backup.manifest import BackupError

    try:
        found = Archive(folder).manifest().engines
    except BackupError as error:
        raise click.ClickException(str(error)) from error
    if not found:
        raise click.ClickException(f"the last backup in {folder} notes nothing of a database and a bucket")
    return found


def looked_through(comparison: StoreComparison, look: Look, counts: LookCounts) -> Iterator[Finding]:
    """Yield the differences, and tell progress on standard error. Raises UnfinishedError."""
    from triage.spool.comparing.values import CompareError

    told = 0
    try:
        for each in comparison.findings(look, counts):
            if counts.keys - told >= _PROGRESS_KEYS:
                told = counts.keys
                click.echo(f"{counts.keys} keys compared, up to {counts.last}", err=True)
            yield each
    except (OSError, CompareError) as error:
        raise UnfinishedError(error, counts.last) from error
