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
@given
def command(invocation: Invocation, folder: Path | None, old: Path | None, finish: bool) -> None:
    """Copy a spool of files, or another store, into the store of the settings, which no process uses yet.

    May be called again and again, also while the service still works on what is moved and after it was killed: each
    call copies what is new. --finish is the last one: it compares counts, every record and the SHA-256 of every object,
    and ends with status 1 if anything differs. From files, it takes over users (sign_in.users_file) and the lines of
    the audit trail (audit.path) too. Nothing in the source is changed. Partitions (canary, validation) and sessions
    stay. TRIAGE_ variables count for both settings files.
    """
    settings = invocation.settings()
    from triage.spool.moving.errors import MoveError

    if old is not None and folder is not None:
        raise click.UsageError("--from and --from-settings name one source each: give one of them")
    if old is not None:
        source = _source_of(settings, replace(invocation, config=old).load().settings)
    else:
        source = _source(settings, (folder or settings.spool.path).absolute())
    try:
        _run(source, _target(settings), finish)
        if finish and old is None:
            _move_access(settings)
        elif finish:
            click.echo("users and the audit trail are not moved: triage user add, triage audit export", err=True)
    except (MoveError, OSError) as error:
        raise click.ClickException(f"{error}; call it again when that is put right") from error


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


def _move_access(settings: Settings) -> None:
    """Take over users and audit lines where they belong to the database from now on."""
    from triage.security.audit_moving import move_lines
    from triage.security.database_users import DatabaseUsers
    from triage.security.file_users import FileUsers
    from triage.security.users import UserError
    from triage.service.access import audit_file, audit_rows, users_of

    rows, users = audit_rows(settings, "triage store migrate"), users_of(settings)
    if rows is None or not isinstance(users, DatabaseUsers):
        return
    try:
        accounts = FileUsers(settings.sign_in.users_file).all()
        adopted = users.adopt(accounts)
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{adopted:8d}  users")
    if len(accounts) > adopted:
        click.echo("users of the file were left, because the database has users already: triage user list", err=True)
    found, new = move_lines(audit_file(settings), rows)
    click.echo(f"{found:8d}  lines of the audit trail, {new} of them new")


def _compare(source: Store, target: Store) -> None:
    from triage.spool.moving.move import differences

    found = list(differences(source, target, lambda number: _told(number, "compared")))
    for each in found[:_TELL_EVERY]:
        click.echo(each, err=True)
    if found:
        raise click.ClickException(f"{len(found)} differences: {source.name} goes on to be the store")
    click.echo(
        f"{target.name} has all that {source.name} has, with the same bytes. Start the service with these settings, "
        "run triage sweep --once, and put away what was the store once you are content"
    )


def _progress(counts: MoveCounts) -> None:
    _told(counts.studies, "copied")


def _told(number: int, done: str) -> None:
    if number % _TELL_EVERY == 0:
        click.echo(f"{number} studies {done}", err=True)


def _tell(counts: MoveCounts) -> None:
    for what, number in asdict(counts).items():
        click.echo(f"{number:8d}  {what.replace('_', ' ')}")
