"""``triage hosts``: the hosts whose workers share a store, who leads, and what decides otherwise on some of them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from triage.commands.base import Invocation, given, open_spool
from triage.errors import cause

if TYPE_CHECKING:
    from triage.operations.in_work import HostAtWork
    from triage.spool.store import Store


@click.command()
@given
def hosts(invocation: Invocation) -> None:
    """Show the hosts with workers, who leads, and what decides otherwise on some of them.

    Compared are models, operating points, settings of priorities and images, the draw of cases, the names of
    destinations, and the version of the program, as each worker has them in force since its start. Status 1 if
    something differs.
    """
    settings = invocation.settings()
    if settings.store.kind == "files":
        click.echo("one host: the store is of files (store.kind)")
        return
    from triage.operations.in_work import at_work

    spool = open_spool(settings)
    try:
        alive = [each for each in at_work(spool) if spool.workers.is_alive(each.worker)]
        _show_hosts(alive)
        _show_leaders(spool)
    except OSError as error:
        raise click.ClickException(f"the store does not answer: {cause(error)}") from error
    raise SystemExit(1 if _show_differences(alive) else 0)


def _show_hosts(workers: list[HostAtWork]) -> None:
    for host, found in groupby(workers, key=lambda each: each.host):
        of_host = list(found)
        versions = sorted({each.parts.get("program", {}).get("version", "of an earlier release") for each in of_host})
        click.echo(f"host {host}: workers: {len(of_host)}; program: {', '.join(versions)}")
    if not workers:
        click.echo("no worker runs on any host")


def _show_leaders(spool: Store) -> None:
    from triage.service.leadership import LED

    for name in LED:
        click.echo(f"{name}: {spool.workers.leader(name) or 'none'} leads")


def _show_differences(workers: list[HostAtWork]) -> bool:
    """Show each part that workers have, and return True if something differs."""
    from triage.operations.in_work import compared

    found = compared(workers)
    for each in filter(lambda each: each.announced, found):
        told = ("they differ", *(f"  {line}" for line in each.words)) if each.differences else each.words
        click.echo(f"{each.part.words}: " + "\n".join(told))
    return any(each.differences for each in found)
