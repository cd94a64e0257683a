"""Local users: a file with each user's name, role and password, beside the spool.

``stamp`` changes with the password and the role, and each session names it: a change of either ends the user's sessions
at once, as does removal.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from triage.errors import StartError
from triage.runtime.durable import held, private_folder, write_durably
from triage.security import passwords
from triage.security.passwords import Hashed
from triage.security.roles import Role

VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_TAKEN = ("local",)  # whoever works on loopback without sign-in


class UserError(Exception):
    """Something about users that a person has to put right; the message says what."""


@dataclass(frozen=True)
class Account:
    """A user as the file has it."""

    name: str
    role: Role
    password: str  # see triage/security/passwords.py
    stamp: str


class Users:
    """The users of a file. Safe to share between threads; what other processes write is seen at the next look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._known: dict[str, Account] = {}

    def check(self) -> None:
        """Raise StartError if the file cannot be used as it is; that it is not there yet is no error."""
        try:
            self.all()
        except (OSError, UserError) as error:
            raise StartError(f"sign_in.users_file: {error}") from error

    def all(self) -> list[Account]:
        """Every user, by name. Raises UserError for a file that others can read or that is none of ours, OSError."""
        return sorted(self._current().values(), key=lambda each: each.name.casefold())

    def find(self, name: str) -> Account | None:
        """The user of that name, in whatever case it is typed."""
        return self._current().get(name.casefold())

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user. Raises UserError for a name that is taken or none, WeakPasswordError."""
        if not _NAME.fullmatch(name) or name.casefold() in _TAKEN:
            raise UserError(f"{name[:80]!r} is no name for a user: letters, digits and . _ @ -, at most 64, not local")
        passwords.check(password, name)
        account = Account(name, role, str(passwords.hashed(password)), _stamp())

        def added(known: dict[str, Account]) -> None:
            if name.casefold() in known:
                raise UserError(f"there is a user {known[name.casefold()].name} already")
            known[name.casefold()] = account

        self._change(added)

    def remove(self, name: str) -> None:
        """Remove a user, which ends his or her sessions. Raises UserError if there is none."""
        self._change(lambda known: known.pop(_existing(known, name).name.casefold()))

    def change_role(self, name: str, role: Role) -> None:
        """Give a user another role. Raises UserError if there is no such user."""
        self._replace(name, role=role, stamp=_stamp())

    def change_password(self, name: str, password: str) -> None:
        """Give a user another password. Raises UserError if there is no such user, WeakPasswordError."""
        passwords.check(password, name)
        self._replace(name, password=str(passwords.hashed(password)), stamp=_stamp())

    def upgrade(self, account: Account, password: str) -> None:
        """Keep a password that was just found right with today's parameters. Ends no session."""
        fresh = str(passwords.hashed(password))

        def upgraded(known: dict[str, Account]) -> None:
            if known.get(account.name.casefold()) == account:  # nobody has changed it meanwhile
                known[account.name.casefold()] = replace(account, password=fresh)

        self._change(upgraded)

    def _replace(self, name: str, **changes: Any) -> None:
        def replaced(known: dict[str, Account]) -> None:
            account = _existing(known, name)
            known[account.name.casefold()] = replace(account, **changes)

        self._change(replaced)

    def _change(self, change: Callable[[dict[str, Account]], object]) -> None:
        private_folder(self._path.parent)
        with held(self._path.with_name(f".{self._path.name}.lock")):
            known = dict(self._read())
            change(known)
            users = [asdict(each) for each in known.values()]
            write_durably(self._path, json.dumps({"version": VERSION, "users": users}, indent=1) + "\n")

    def _current(self) -> dict[str, Account]:
        with self._reading:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                self._version, self._known = None, {}
                return self._known
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self._version:
                self._known = self._read()
                self._version = version
            return self._known

    def _read(self) -> dict[str, Account]:
        try:
            if self._path.stat().st_mode & 0o077:
                raise UserError(f"{self._path} can be read by others: chmod 0600 {self._path}")
            content = json.loads(self._path.read_bytes())
            if content["version"] != VERSION:
                raise UserError(f"{self._path} has version {content['version']}, this program reads version {VERSION}")
            return {each["name"].casefold(): _account(each) for each in content["users"]}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self._path} is no file of users as `triage user` writes it ({error!r})") from error


def _account(record: dict[str, Any]) -> Account:
    account = Account(record["name"], Role(record["role"]), record["password"], record["stamp"])
    Hashed.parse(account.password)
    return account


def _existing(known: dict[str, Account], name: str) -> Account:
    if (account := known.get(name.casefold())) is None:
        raise UserError(f"there is no user {name[:80]!r}: `triage user list` names them")
    return account


def _stamp() -> str:
    return secrets.token_hex(8)
