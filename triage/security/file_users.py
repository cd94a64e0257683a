"""Local users in a file of this host."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from triage.errors import StartError
from triage.runtime.durable import private_folder, write_durably
from triage.runtime.file_lock import file_lock
from triage.security import passwords
from triage.security.passwords import PasswordHash
from triage.security.roles import Role
from triage.security.users import Account, ReplacedAccounts, UserError, new_account, taken, unknown

VERSION = 1


class FileUsers(ReplacedAccounts):
    """The users of a file; see ``Users``."""

    place = "the file of users"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._accounts: dict[str, Account] = {}

    @property
    def uri(self) -> str:
        """The file."""
        return self._path.absolute().as_uri()

    def check(self) -> None:
        """Raise StartError if the file cannot be used. A missing file is no error."""
        try:
            self.all()
        except (OSError, UserError) as error:
            raise StartError(f"sign_in.users_file: {error}") from error

    def all(self) -> list[Account]:
        """Return every user, by name. Raises OSError, and UserError for a damaged file or one others can read."""
        return sorted(self._current().values(), key=lambda each: each.name.casefold())

    def find(self, name: str) -> Account | None:
        """Return the user of that name in any case, or None."""
        return self._current().get(name.casefold())

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user. Raises UserError for a name that is taken or invalid, WeakPasswordError."""
        account = new_account(name, role, password)

        def add_to(accounts: dict[str, Account]) -> None:
            if name.casefold() in accounts:
                raise taken(accounts[name.casefold()])
            accounts[name.casefold()] = account

        self._change(add_to)

    def remove(self, name: str) -> None:
        """Remove a user and so end his or her sessions. Raises UserError if there is none."""
        self._change(lambda accounts: accounts.pop(_existing(accounts, name).name.casefold()))

    def upgrade(self, account: Account, password: str) -> None:
        """Hash a password that was just verified with the current parameters. Ends no session."""
        fresh = str(passwords.hash_password(password))

        def upgrade_in(accounts: dict[str, Account]) -> None:
            if accounts.get(account.name.casefold()) == account:  # unchanged since it was read
                accounts[account.name.casefold()] = replace(account, password=fresh)

        self._change(upgrade_in)

    def adopt(self, accounts: Iterable[Account]) -> int:
        """Take over the users of another place, if there is none here yet, and return their number."""
        adopted: list[Account] = []

        def adopt_into(there: dict[str, Account]) -> None:
            if not there:
                adopted.extend(accounts)
                there.update({each.name.casefold(): each for each in adopted})

        self._change(adopt_into)
        return len(adopted)

    def _replace(self, name: str, change: Callable[[Account], Account]) -> None:
        def replace_in(accounts: dict[str, Account]) -> None:
            account = _existing(accounts, name)
            accounts[account.name.casefold()] = change(account)

        self._change(replace_in)

    def _change(self, change: Callable[[dict[str, Account]], object]) -> None:
        private_folder(self._path.parent)
        with file_lock(self._path.with_name(f".{self._path.name}.lock")):
            accounts = dict(self._read())
            change(accounts)
            users = [asdict(each) for each in accounts.values()]
            write_durably(self._path, json.dumps({"version": VERSION, "users": users}, indent=1) + "\n")

    def _current(self) -> dict[str, Account]:
        with self._reading:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                self._version, self._accounts = None, {}
                return self._accounts
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self._version:
                self._accounts = self._read()
                self._version = version
            return self._accounts

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
            raise UserError(f"{self._path} is no file of users of `triage user` ({error!r})") from error


def _account(record: Mapping[str, str]) -> Account:
    account = Account(record["name"], Role(record["role"]), record["password"], record["stamp"])
    PasswordHash.parse(account.password)
    return account


def _existing(accounts: dict[str, Account], name: str) -> Account:
    if (account := accounts.get(name.casefold())) is None:
        raise unknown(name)
    return account
