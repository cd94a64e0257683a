"""``triage user``: the local users who may sign in. Each change is in the audit trail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from triage.commands.base import Invocation, given, start_errors
from triage.security.roles import Role

if TYPE_CHECKING:
    from triage.security.users import Users
    from triage.settings.schema import Settings

ROLES = click.Choice([str(each) for each in Role])


@click.group()
def user() -> None:
    """List and change the users who may sign in over HTTP (sign_in.method = users)."""


@user.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=ROLES,
    required=True,
    help="reader looks, marks and disagrees; adjudicator also judges disagreements; admin also requeues.",
)
@given
def add(invocation: Invocation, name: str, role: str) -> None:
    """Add user NAME; the password is asked for, or read as the first line of standard input."""
    from triage.security.users import UserError

    settings, users = _opened(invocation)
    with _told():
        if users.find(name):
            raise UserError(f"there is a user {name} already: `triage user password` changes the password")
        secret = _password()
        with _written(settings, users, name, f"added as {role}"):
            users.add(name, Role(role), secret)
    click.echo(f"{name} may sign in as {role}")


@user.command("password")
@click.argument("name")
@given
def password(invocation: Invocation, name: str) -> None:
    """Give user NAME another password; ends his or her sessions."""
    settings, users = _opened(invocation)
    _change(settings, users, name, "password changed", lambda: users.change_password(name, _password()))


@user.command("role")
@click.argument("name")
@click.argument("role", type=ROLES)
@given
def role(invocation: Invocation, name: str, role: str) -> None:
    """Give user NAME the ROLE; ends his or her sessions."""
    settings, users = _opened(invocation)
    _change(settings, users, name, f"role changed to {role}", lambda: users.change_role(name, Role(role)))


@user.command("remove")
@click.argument("name")
@given
def remove(invocation: Invocation, name: str) -> None:
    """Remove user NAME; ends his or her sessions."""
    settings, users = _opened(invocation)
    _change(settings, users, name, "removed", lambda: users.remove(name))


@user.command("end-sessions")
@click.argument("name", required=False)
@given
def end_sessions(invocation: Invocation, name: str | None) -> None:
    """End every session, or those of NAME: all sign in again, also users of an identity provider."""
    from triage.service.access import sessions_of

    settings, users = _opened(invocation)
    what = "sessions ended" if name else "every session ended"
    with _told(), start_errors(), _written(settings, users, name or "", what):
        ended = sessions_of(settings).end_all(name)
    click.echo(f"{ended} sessions of {name or 'all users'} are ended")


@user.command("list")
@given
def list_users(invocation: Invocation) -> None:
    """List the users and their roles."""
    _, users = _opened(invocation)
    with _told():
        known = users.all()
    for each in known:
        click.echo(f"{each.role:<7} {each.name}")
    if not known:
        click.echo("there is no user: `triage user add NAME --role admin` makes one", err=True)


def _opened(invocation: Invocation) -> tuple[Settings, Users]:
    from triage.service.access import users_of

    settings = invocation.settings()
    with start_errors():
        return settings, users_of(settings)


def _change(settings: Settings, users: Users, name: str, done: str, change: Callable[[], object]) -> None:
    from triage.security.users import UserError

    with _told():
        if users.find(name) is None:  # before a password is asked for in vain
            raise UserError(f"there is no user {name!r}: `triage user list` names them")
        with _written(settings, users, name, done):
            change()
    click.echo(f"{name}: {done}; sessions are ended")


def _password() -> str:
    """Never an argument: those are in the shell's history and in the list of processes."""
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")


@contextmanager
def _written(settings: Settings, users: Users, name: str, what: str) -> Iterator[None]:
    """Write the change to the audit trail before it is made, else make none, and its result afterwards."""
    _write(settings, users, name, f"about to be: {what}", "it is not done, because it")
    try:
        yield
    except Exception:
        _write(settings, users, name, f"not done: {what}", "it is not done, and that")
        raise
    _write(settings, users, name, what, "it is done, but that")


def _write(settings: Settings, users: Users, name: str, description: str, otherwise: str) -> None:
    from triage.security.audit_trail import AuditError, note_user
    from triage.service.access import audit_sink, trail_for

    try:
        note_user(trail_for(settings, "triage user"), users.uri, name, description)
    except AuditError as error:
        place = audit_sink(settings, "triage user").name
        raise click.ClickException(f"{otherwise} could not be written to the audit trail {place}: {error}") from error


@contextmanager
def _told() -> Iterator[None]:
    from triage.security.passwords import WeakPasswordError
    from triage.security.users import UserError

    try:
        yield
    except (UserError, WeakPasswordError, OSError) as error:
        raise click.ClickException(str(error)) from error
