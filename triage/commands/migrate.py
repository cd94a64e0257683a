"""``triage migrate``: from what an earlier release left to what this one needs."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands.base import CannotStart, Invocation, given
from triage.settings.schema import Settings


@click.command()
@click.option("--check", is_flag=True, help="Change nothing: status 0 if there is nothing to do, 1 if there is.")
@given
def migrate(invocation: Invocation, check: bool) -> None:
    """Bring the store to the layout or schema of this release, or list the steps.

    Each step may be killed and is done again. Settings are checked, too. --check changes nothing: status 0 if
    there is nothing to do, 1 if there are steps to take, 78 if the store is of a later release that this one cannot
    use. Tables in PostgreSQL are changed all or none, while processes of the release before go on; the first process
    of a release does the same.
    """
    settings = invocation.settings()
    if settings.store.kind != "files":
        _migrate_tables(settings, check)
        return
    from triage.spool.errors import SpoolError
    from triage.spool.layout import LAYOUT, advance, layout_of, pending
    from triage.spool.opening import check_version

    try:
        roots = _roots(settings)
        todo = {root: pending(root) for root in roots}
        for root in roots:
            check_version(root)
            click.echo(f"{root}: layout {layout_of(root)}, this release writes {LAYOUT}")
    except SpoolError as error:
        raise CannotStart(str(error)) from error
    steps = [step for each in todo.values() for step in each]
    for step in steps:
        click.echo(f"to do: {step.what}" + ("" if step.harmless else " (with every process stopped)"))
    if check:
        raise click.exceptions.Exit(1 if steps else 0)
    if any(not step.harmless for step in steps):
        _refuse_at_work(settings)
    for root, each in todo.items():
        advance(root, each)
    click.echo("nothing to do" if not steps else "done")


def _migrate_tables(settings: Settings, check: bool) -> None:
    """Bring the tables that hosts share to the schema of this release, or list the steps."""
    from triage.service.store import store_address
    from triage.spool.cluster.address import ClusterAddress
    from triage.spool.errors import SpoolError
    from triage.spool.open_store import bring_to_this_release, schema_of

    address = store_address(settings)
    assert isinstance(address, ClusterAddress)
    try:
        state = schema_of(address)
        click.echo(f"{address.database.name}: {state}")
        for step in state.steps:
            click.echo(f"to do: {step}")
        if check:
            raise click.exceptions.Exit(1 if state.steps else 0)
        bring_to_this_release(address)
    except SpoolError as error:
        raise CannotStart(str(error)) from error
    click.echo("done" if state.steps else "nothing to do")


def _roots(settings: Settings) -> list[Path]:
    """The spool and the partitions in it."""
    root = settings.spool.path.absolute()
    if not (root / "VERSION").is_file():
        raise CannotStart(f"{root} is no spool yet: nothing to migrate")
    return [root, *(root / name for name in ("canary", "validation") if (root / name / "VERSION").is_file())]


def _refuse_at_work(settings: Settings) -> None:
    from triage.runtime.file_lock import is_held
    from triage.spool.open_store import store_at

    locks = settings.spool.path.absolute() / "locks"
    workers = store_at(settings.spool.path.absolute()).workers
    if workers.count()[0] or any(is_held(locks / name) for name in ("up", "deliver")):
        raise CannotStart("processes work on this spool: stop all of them first")
