"""``triage store remove-keys``: objects in the bucket that no row names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from triage.commands.base import Invocation, given
from triage.commands.engines.comparison import opened_comparison

if TYPE_CHECKING:
    from triage.commands.output.comparison import UnnamedTally
    from triage.spool.comparing.comparison import StoreComparison
    from triage.spool.comparing.values import Finding

_GRACE_S = 24 * 3600.0
"""The least age of a key that is removed, in seconds."""


@click.command("remove-keys")
@click.option("--put-before", required=True, metavar="TIME", help="Only keys put before it: 2026-11-30T02:00:00+00:00.")
@click.option("--only-copies", is_flag=True, help="Also those whose object the store has under no other key.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@given
def command(invocation: Invocation, put_before: str, only_copies: bool, yes: bool) -> None:
    """Remove from the bucket the keys that no row names, after saying how many they are.

    After the database was restored to an earlier time, a key that was put later is all that is here of a study that
    was acknowledged. So a time has to be stated, and a key goes only if the store has its object under another key, as
    it has when the PACS has sent it again; --only-copies removes the others too. Never removed is what was put within
    a day. Nothing is removed while rows lack objects (triage store bring-back), or if no row names any key.
    """
    settings = invocation.settings()
    before = _time(put_before, max(_GRACE_S, 2 * settings.store.upload_deadline_s))
    comparison = opened_comparison(settings).comparison
    plan = _plan(comparison, before, only_copies)
    if not plan.removable:
        return
    if not yes:
        click.confirm(f"remove {plan.removable} keys?", abort=True)
    chosen = (each for each in _unnamed(comparison, before) if each.identity.kept or only_copies)
    removed = sum(comparison.remove(each) for each in chosen)
    click.echo(f"{removed} keys removed")


def _plan(comparison: StoreComparison, before: float, only_copies: bool) -> UnnamedTally:
    """Show and return what would be removed. Raises ClickException for a pair in which nothing may be."""
    from triage.commands.output.comparison import UnnamedTally, show_plan
    from triage.commands.store.compare import looked_through
    from triage.spool.comparing.values import Fault, Look, LookCounts

    counts, tally = LookCounts(), UnnamedTally(only_copies)
    for each in looked_through(comparison, Look(put_before=before), counts):
        if each.fault is Fault.MISSING:
            raise click.ClickException(
                f"row without its object: {each.key}. Bring objects back first (triage store bring-back), or see that "
                "database and bucket are of one time; nothing is removed"
            )
        tally.add(each)
    if not counts.rows:
        raise click.ClickException("no row names any key: this is not the database of this bucket; nothing is removed")
    show_plan(tally)
    return tally


def _unnamed(comparison: StoreComparison, before: float) -> Iterator[Finding]:
    from triage.commands.store.compare import looked_through
    from triage.spool.comparing.values import Fault, Look, LookCounts

    found = looked_through(comparison, Look(put_before=before), LookCounts())
    return (each for each in found if each.fault is Fault.UNNAMED)


def _time(said: str, grace_s: float) -> float:
    """Return a stated time in POSIX seconds. Raises BadParameter."""
    try:
        at = datetime.fromisoformat(said)
    except ValueError as error:
        raise click.BadParameter(f"--put-before takes a time such as 2026-11-30T02:00:00+00:00: {error}") from error
    if at.tzinfo is None:
        raise click.BadParameter("--put-before takes a time with its zone, such as 2026-11-30T02:00:00+00:00")
    if at.timestamp() > time.time() - grace_s:
        raise click.BadParameter(f"--put-before is less than {grace_s / 3600:g} hours ago: work may be going on still")
    return at.timestamp()
