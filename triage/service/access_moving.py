"""The move of users and audit trail from where one settings file has them to where another one has them."""

from __future__ import annotations

from dataclasses import dataclass

from triage.errors import TriageError
from triage.security.audit_file import AuditFile
from triage.security.audit_moving import TrailMove, move_lines
from triage.security.audit_rows import AuditRows
from triage.security.users import Account, Users
from triage.service.access import audit_file, audit_rows, database_of, users_of
from triage.settings.schema import Settings

_PROCESS = "triage store migrate"


class AccessMoveError(TriageError):
    """Users or audit lines are not the same in both places; the message says what to do."""


@dataclass(frozen=True)
class UsersMove:
    """Numbers of a move of users: those of the source, and those that were taken over."""

    users: int
    adopted: int


def move_users(old: Settings, new: Settings, *, keep: bool) -> UsersMove | None:
    """Take over the users, with password hashes, roles and stamps; None if both settings have the same place.

    Users are taken over by a place that has none: one who was removed there does not come back. ``keep``: leave a
    place as it is that has others. Raises AccessMoveError if it has others, UserError, StartError, OSError.
    """
    if _place_of_users(old) == _place_of_users(new):
        return None
    source, target = users_of(old), users_of(new)
    accounts = source.all()
    adopted = target.adopt(accounts) if accounts else 0
    if not keep and (names := _differing(accounts, target)):
        raise AccessMoveError(
            f"{target.place} ({target.uri}) has other users than {source.place}: {', '.join(names)}. Put those away "
            "that are not to sign in (the file of users, or triage user remove with these settings), or say "
            "--keep-users; and call it again"
        )
    return UsersMove(len(accounts), adopted)


def move_trail(old: Settings, new: Settings) -> TrailMove | None:
    """Copy the audit lines that the new place lacks; None if both settings have the same place.

    Raises AccessMoveError if a line is missing afterwards, StartError, OSError.
    """
    if _place_of_trail(old) == _place_of_trail(new):
        return None
    source, target = _trail(old), _trail(new)
    moved = move_lines(source, target)
    if moved.missing:
        raise AccessMoveError(
            f"{moved.missing} of {moved.lines} lines of the audit trail {source.name} are not in {target.name}: "
            "something writes to one of them, or removed lines; stop it, and call it again"
        )
    return moved


def _differing(accounts: list[Account], target: Users) -> list[str]:
    """Return the names of the users that are not in both, or not with the same role, password and stamp."""
    return sorted({each.name for each in {*accounts} ^ {*target.all()}})


def _trail(settings: Settings) -> AuditFile | AuditRows:
    return audit_rows(settings, _PROCESS) or audit_file(settings)


def _place_of_users(settings: Settings) -> object:
    return database_of(settings) or settings.sign_in.users_file.absolute()


def _place_of_trail(settings: Settings) -> object:
    return database_of(settings) or settings.audit.path.absolute()
