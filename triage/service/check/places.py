"""Check the folders of spool, users and audit trail: are they there, ours, and writable."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

from triage.errors import StartError, cause
from triage.security.database_users import DatabaseUsers
from triage.security.file_users import FileUsers
from triage.security.users import UserError
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.settings.sections.audit import AuditSettings
from triage.settings.sections.sign_in import SignInSettings
from triage.spool.errors import SpoolError
from triage.spool.layout import pending
from triage.spool.opening import check_folder
from triage.spool.shared_database import SharedDatabase
from triage.spool.spool import Spool

_MAY_WRITE = "SELECT has_table_privilege('audit_line', 'INSERT')"


def check_spool(root: Path) -> Iterator[CheckResult]:
    """Check the version and the rights of the spool, and its file system."""
    spool = Spool(root)
    try:
        check_folder(spool.root)
        if root.is_dir() and any(not step.harmless for step in pending(root)):
            yield failed("spool", f"{root} was left by an earlier release: stop every process, triage backup, migrate")
        folder = spool.incoming if spool.incoming.is_dir() else root
        yield writable("spool", folder, root)
        if caution := Spool(_existing(root)).caution:
            yield warning("spool", f"{root} {caution} (docs/how-to/runbook.md, Moving the spool)")
    except (SpoolError, OSError) as error:
        yield failed("spool", str(error))


def check_users(sign_in: SignInSettings, with_provider: bool = False) -> Iterator[CheckResult]:
    """Check the file of users, where people sign in with it, and the folder of their sessions next to it.

    ``with_provider``: local users may sign in although an identity provider is used.
    """
    if sign_in.method == "oidc" and not with_provider:
        yield writable("sessions", sign_in.users_file.parent, sign_in.users_file.with_name("sessions"))
        return
    if sign_in.method not in ("users", "oidc"):
        return
    path, users = sign_in.users_file, FileUsers(sign_in.users_file)
    try:
        users.check()
        count = len(users.all())
    except StartError as error:
        yield failed("users", str(error))
        return
    yield writable("users", path.parent, path)
    if not count:
        yield warning("users", f"{path} has no user: no person can sign in. triage user add NAME --role admin")


def check_audit_trail(audit: AuditSettings, signed_in: bool) -> Iterator[CheckResult]:
    """Check the folder of the audit trail, where one is written."""
    if not (signed_in or audit.always):
        yield ok("audit trail", "none is written: sign-in is off, and audit.always is not set")
        return
    if audit.path.exists() and not os.access(audit.path, os.W_OK):
        yield failed("audit trail", f"{audit.path} cannot be written to: it has to belong to the service's user")
        return
    yield writable("audit trail", audit.path.parent, audit.path)


def check_shared_access(database: SharedDatabase, sign_in: SignInSettings, audited: bool) -> Iterator[CheckResult]:
    """Check users and audit trail in the database that hosts share. No table is touched."""
    if not audited:
        yield ok("audit trail", "none is written: sign-in is off, and audit.always is not set")
    try:
        if not database.is_made():
            yield warning("users", f"{database.name} has no tables of ours yet: the first process makes them")
            return
        users = len(DatabaseUsers(database).all())
        may_write = database.read(_MAY_WRITE) == [[True]]
    except (UserError, OSError) as error:
        yield failed("users", str(error))
        return
    if sign_in.method == "users" and not users:
        yield warning("users", "the database has no user: no person can sign in. triage user add NAME --role admin")
    elif sign_in.method in ("users", "oidc"):
        yield ok("users", f"{users} in {database.name}, with all sessions")
    if audited and not may_write:
        yield failed("audit trail", f"the role may not add lines in {database.name}: GRANT INSERT ON audit_line")
    elif audited:
        yield ok("audit trail", f"of all hosts, in {database.name}")


def writable(subject: str, folder: Path, shown: Path) -> CheckResult:
    """Check that a file can be made in ``folder``, or in the nearest folder above it, by making one and removing it."""
    there = _existing(folder)
    if not there.is_dir():
        return failed(subject, f"{there} is no folder, and {shown} cannot lie below it: set another path")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return failed(
            subject, f"no file can be made in {there}, where {shown} belongs ({cause(error)}): give it to {_name()}"
        )
    owner = there.stat().st_uid
    if there == folder and owner != os.geteuid():
        return warning(
            subject,
            f"{folder} belongs to {_name(owner)}, and this is {_name()}: run the check, and every command, as the "
            "service's user",
        )
    return ok(subject, f"{shown}: writable" if there == folder else f"{shown}: will be made in {there}")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest existing one above it."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


def _name(uid: int | None = None) -> str:
    number = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
