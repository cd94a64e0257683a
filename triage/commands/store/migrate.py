"""``triage store migrate``: from one kind of store to another."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from triage.commands.base import PATH, CannotStart, Invocation, given, open_spool
from triage.settings.schema import Settings

if TYPE_CHECKING:
    from triage.spool.moving.move import MoveCounts
    from triage.spool.moving.study import MoveTarget
    from triage.spool.store import Store

_TELL_EVERY = 100


@click.command("migrate")
@click.option("--from", "folder", type=PATH, help="Folder of the spool that is moved.  [default: spool.path]")
@click.option("--from-settings", "old", type=PATH, help="Settings file of the store that is moved, of either kind.")
@click.option("--finish", is_flag=True, help="With every process stopped: copy the rest, and compare everything.")
@click.option("--keep-users", is_flag=True, help="Leave the users of the settings' store as they are, if it has some.")
@given
def command(invocation: Invocation, folder: Path | None, old: Path | None, finish: bool, keep_users: bool) -> None:
    """Copy a spool of files, or another store, into the store of the settings, which no process uses yet.

    May be called again and again, also while the service still works on what is moved and after it was killed: each
    call copies what is new, and removes only what a call before had brought. A store that others have written into is
    refused, and so is one whose move has ended. --finish is the last one: it compares counts, every record and the
    SHA-256 of every object, and ends with status 1 if anything differs. It takes over the users and every line of the
    audit trail too, and compares them, where both settings have other places for them. Nothing in the source is
    changed. Partitions (canary, validation) and sessions stay. TRIAGE_ variables count for both settings files.
    """
    settings = invocation.settings()
    from triage.spool.moving.errors import MoveError
    from triage.spool.moving.notes import end

    if old is not None and folder is not None:
        raise click.UsageError("--from and --from-settings name one source each: give one of them")
    before = replace(invocation, config=old).load().settings if old is not None else _of_files(settings)
    if old is not None:
        source = _source_of(settings, before)
    else:
        source = _source(settings, (folder or settings.spool.path).absolute())
    try:
        target = _target(settings)
        _run(source, target, finish)
        if finish:
            _move_access(before, settings, keep_users=keep_users)
            end(target.store)
            click.echo(
                "Start the service with these settings, run triage sweep --once, and put away what was the store once "
                "you are content"
            )
    except (MoveError, OSError) as error:
        raise click.ClickException(f"{error}; call it again when that is put right") from error


def _of_files(settings: Settings) -> Settings:
    """Return the settings of this host as they are for a store of files."""
    return settings.model_copy(update={"store": settings.store.model_copy(update={"kind": "files"})})


def _source(settings: Settings, path: Path) -> Store:
    from triage.spool.open_store import store_at

    if settings.store.kind == "files" and path == settings.spool.path.absolute():
        raise CannotStart(f"{path} is the store of the settings: set store.kind to where it is to go, or name --from")
    found = store_at(path)
    if not found.exists():
        raise CannotStart(f"{path} is no spool that can be read: nothing to move")
    return found


def _source_of(settings: Settings, old: Settings) -> Store:
    """Return the store of another settings file. Raises CannotStart."""
    from triage.service.store import store_address
    from triage.spool.open_store import store_at

    address = store_address(old)
    if address == store_address(settings):
        raise CannotStart("both settings files name one store: nothing to move")
    if not store_at(address).exists():
        raise CannotStart("the store of --from-settings is not there, or cannot be read: nothing to move")
    return open_spool(old)  # with the tables of this release


def _target(settings: Settings) -> MoveTarget:
    from triage.service.store import store_address
    from triage.spool.moving.backdating import backdating
    from triage.spool.moving.study import MoveTarget

    return MoveTarget(open_spool(settings), backdating(store_address(settings)))


def _run(source: Store, target: MoveTarget, finish: bool) -> None:
    from triage.spool.moving.errors import MoveError
    from triage.spool.moving.move import move, refuse_at_work, refuse_connected

    refuse_at_work(target.store)
    if not finish:
        _tell(move(source, target, _progress))
        click.echo("stop every process of the service, and call it with --finish")
        return
    refuse_at_work(source)
    refuse_connected(source)
    refusal = MoveError(f"`triage up` runs on {source.name}: stop it first")
    with source.workers.hold_alone("up", refusal):
        _tell(move(source, target, _progress))
        _compare(source, target.store)
        refuse_connected(source)  # one that was started meanwhile may have taken objects since


def _move_access(old: Settings, new: Settings, *, keep_users: bool) -> None:
    """Take over users and audit lines, and tell their numbers."""
    from triage.security.users import UserError
    from triage.service.access_moving import AccessMoveError, move_trail, move_users

    try:
        if (trail := move_trail(old, new)) is not None:
            click.echo(f"{trail.lines:8d}  lines of the audit trail, {trail.new} of them new, none missing")
        if (users := move_users(old, new, keep=keep_users)) is not None:
            click.echo(f"{users.users:8d}  users, {users.adopted} of them new")
    except (UserError, AccessMoveError) as error:
        raise click.ClickException(str(error)) from error


def _compare(source: Store, target: Store) -> None:
    from triage.spool.moving.move import differences

    found = list(differences(source, target, lambda number: _told(number, "compared")))
    for each in found[:_TELL_EVERY]:
        click.echo(each, err=True)
    if found:
        raise click.ClickException(f"{len(found)} differences: {source.name} goes on to be the store")
    click.echo(f"{target.name} has all that {source.name} has, with the same bytes")


def _progress(counts: MoveCounts) -> None:
    _told(counts.studies, "copied")


def _told(number: int, done: str) -> None:
    if number % _TELL_EVERY == 0:
        click.echo(f"{number} studies {done}", err=True)


def _tell(counts: MoveCounts) -> None:
    for what, number in asdict(counts).items():
        click.echo(f"{number:8d}  {what.replace('_', ' ')}")
