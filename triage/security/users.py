"""Local users: their name, role and password hash, in a file of one host or in the database of several.

The ``stamp`` of an account changes with its password and its role, and each session names it: a change of either ends
the user's sessions at once, and so does removal.
"""

from __future__ import annotations

import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from triage.errors import TriageError
from triage.security import passwords
from triage.security.roles import Role

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_RESERVED = ("local",)  # the user on loopback without sign-in


class UserError(TriageError):
    """A user or the place of the users cannot be used; the message says what to correct."""


class UsersAwayError(UserError):
    """The database of the users does not answer; the message says why."""


@dataclass(frozen=True)
class Account:
    """One user."""

    name: str
    role: Role
    password: str  # see triage/security/passwords.py
    stamp: str


class Users(Protocol):
    """The local users. Thread-safe; a change of another process, on whatever host, is seen at the next access."""

    @property
    def place(self) -> str:
        """Their place, in words for a person who signs in."""
        ...

    @property
    def uri(self) -> str:
        """Their place, as the audit trail names it."""
        ...

    def check(self) -> None:
        """Raise StartError if they cannot be used. That there is none is no error."""

    def all(self) -> list[Account]:
        """Return every user, by name. Raises OSError, UserError."""
        ...

    def find(self, name: str) -> Account | None:
        """Return the user of that name in any case, or None. Raises OSError, UserError."""
        ...

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user. Raises UserError for a name that is taken or invalid, WeakPasswordError."""

    def remove(self, name: str) -> None:
        """Remove a user and so end his or her sessions. Raises UserError if there is none."""

    def change_role(self, name: str, role: Role) -> None:
        """Change the role of a user. Raises UserError if there is no such user."""

    def change_password(self, name: str, password: str) -> None:
        """Change the password of a user. Raises UserError if there is no such user, WeakPasswordError."""

    def upgrade(self, account: Account, password: str) -> None:
        """Hash a password that was just verified with the current parameters. Ends no session."""

    def adopt(self, accounts: Iterable[Account]) -> int:
        """Take over the users of another place, if there is none here yet, and return their number."""
        ...


class ReplacedAccounts(ABC):
    """Users whose accounts are replaced as a whole, one at a time."""

    def change_role(self, name: str, role: Role) -> None:
        """Change the role of a user. Raises UserError if there is no such user."""
        self._replace(name, lambda account: with_role(account, role))

    def change_password(self, name: str, password: str) -> None:
        """Change the password of a user. Raises UserError if there is no such user, WeakPasswordError."""
        password_hash = hashed(name, password)  # takes tenths of a second, and no one waits for it
        self._replace(name, lambda account: with_password(account, password_hash))

    @abstractmethod
    def _replace(self, name: str, change: Callable[[Account], Account]) -> None:
        """Replace a user's account by a changed one, with none of another process in between. Raises UserError."""


def new_account(name: str, role: Role, password: str) -> Account:
    """Return the account of a new user. Raises UserError for an invalid name, WeakPasswordError."""
    if not _NAME.fullmatch(name) or name.casefold() in _RESERVED:
        raise UserError(
            f"{name[:80]!r} is no user name: use letters, digits and . _ @ -, at most 64 characters, and not local"
        )
    passwords.check_password(password, name)
    return Account(name, role, str(passwords.hash_password(password)), new_stamp())


def hashed(name: str, password: str) -> str:
    """Return the hash of a new password of a user. Raises WeakPasswordError."""
    passwords.check_password(password, name)
    return str(passwords.hash_password(password))


def with_role(account: Account, role: Role) -> Account:
    """Return the account with another role and stamp."""
    return replace(account, role=role, stamp=new_stamp())


def with_password(account: Account, password_hash: str) -> Account:
    """Return the account with another password and stamp."""
    return replace(account, password=password_hash, stamp=new_stamp())


def taken(account: Account) -> UserError:
    """Return the error for a name that a user has already."""
    return UserError(f"the user {account.name} exists already")


def unknown(name: str) -> UserError:
    """Return the error for a name that no user has."""
    return UserError(f"there is no user {name[:80]!r}: `triage user list` shows all")


def new_stamp() -> str:
    """Return a stamp that no account had before."""
    return secrets.token_hex(8)
