"""Local users in the database that several hosts share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from triage.errors import StartError, cause
from triage.security import passwords
from triage.security.passwords import PasswordHash
from triage.security.roles import Role
from triage.security.users import (
    Account,
    ReplacedAccounts,
    UserError,
    UsersAwayError,
    new_account,
    taken,
    unknown,
)
from triage.spool.errors import SpoolError
from triage.spool.shared_database import Row, SharedDatabase, SharedTransaction, Value

_COLUMNS = "name, role, password, stamp"
_ALL = f"SELECT {_COLUMNS} FROM account WHERE tenant = :tenant ORDER BY name_key"
_FIND = f"SELECT {_COLUMNS} FROM account WHERE tenant = :tenant AND name_key = :key"
_ADD = f"""
INSERT INTO account (tenant, name_key, {_COLUMNS}) VALUES (:tenant, :key, :name, :role, :password, :stamp)
ON CONFLICT DO NOTHING RETURNING name
"""
_CHANGE = """
UPDATE account SET role = :role, password = :password, stamp = :stamp, changed = clock_timestamp()
WHERE tenant = :tenant AND name_key = :key
"""
_UPGRADE = """
UPDATE account SET password = :fresh, changed = clock_timestamp()
WHERE tenant = :tenant AND name_key = :key AND role = :role AND password = :password AND stamp = :stamp
"""
_REMOVE = "DELETE FROM account WHERE tenant = :tenant AND name_key = :key RETURNING name"
_ANY = "SELECT count(*) FROM account WHERE tenant = :tenant"


class DatabaseUsers(ReplacedAccounts):
    """The users of a tenant; see ``Users``. Raises UsersAwayError where the database does not answer."""

    place = "the database of users"

    def __init__(self, database: SharedDatabase) -> None:
        self._database = database

    @property
    def uri(self) -> str:
        """The database."""
        return f"{self._database.name}#account"

    def check(self) -> None:
        """Raise StartError if the database cannot be used."""
        try:
            self.all()
        except UserError as error:
            raise StartError(f"store.kind = postgres+s3: {error}") from error

    def prepare(self) -> None:
        """Make the tables that are missing. Raises UsersAwayError."""
        with self._answering():
            self._database.prepare()

    def all(self) -> list[Account]:
        """Return every user, by name; none as long as there is no table."""
        with self._answering():
            if not self._database.is_made():
                return []
            return [_account(row) for row in self._database.read(_ALL)]

    def find(self, name: str) -> Account | None:
        """Return the user of that name in any case, or None."""
        with self._answering():
            return _first(self._database.read(_FIND, key=name.casefold()))

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user."""
        account = new_account(name, role, password)
        with self._answering():
            if not self._database.write(_ADD, **_values(account)):
                raise taken(account)

    def remove(self, name: str) -> None:
        """Remove a user."""
        with self._answering():
            if not self._database.write(_REMOVE, key=name.casefold()):
                raise unknown(name)

    def upgrade(self, account: Account, password: str) -> None:
        """Hash a password that was just verified with the current parameters, if the account is unchanged."""
        fresh = str(passwords.hash_password(password))
        with self._answering():
            self._database.write(_UPGRADE, fresh=fresh, **_known(account))

    def adopt(self, accounts: Iterable[Account]) -> int:
        """Take over the users of another place, if there is none here yet, and return their number."""
        with self._answering(), self._database.transaction() as transaction:
            if transaction.run(_ANY) != [[0]]:
                return 0
            return sum(len(transaction.run(_ADD, **_values(each))) for each in accounts)

    def _replace(self, name: str, change: Callable[[Account], Account]) -> None:
        with self._answering(), self._database.transaction() as transaction:
            changed = change(_locked(transaction, name))
            transaction.run(_CHANGE, **_known(changed))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SpoolError) as error:
            raise UsersAwayError(f"{self._database.name}: {_said(error)}") from error


def _said(error: OSError | SpoolError) -> str:
    return cause(error) if isinstance(error, OSError) else str(error)


def _locked(transaction: SharedTransaction, name: str) -> Account:
    found = _first(transaction.run(f"{_FIND} FOR UPDATE", key=name.casefold()))
    if found is None:
        raise unknown(name)
    return found


def _first(rows: list[Row]) -> Account | None:
    return _account(rows[0]) if rows else None


def _account(row: Row) -> Account:
    name, role, password, stamp = map(str, row)
    try:
        PasswordHash.parse(password)
        return Account(name, Role(role), password, stamp)
    except ValueError as error:
        raise UserError(f"the user {name} is of another release, or damaged ({error!r})") from error


def _known(account: Account) -> dict[str, Value]:
    return {
        "key": account.name.casefold(),
        "role": str(account.role),
        "password": account.password,
        "stamp": account.stamp,
    }


def _values(account: Account) -> dict[str, Value]:
    return {"name": account.name, **_known(account)}
