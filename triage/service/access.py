"""The places of users, sessions and audit trail, from the settings: files of this host, or the shared database."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from triage.errors import StartError
from triage.runtime.extras import what_to_install
from triage.security.audit_file import AuditFile
from triage.security.audit_message import AuditSource
from triage.security.audit_rows import AuditRows, CopiedAudit
from triage.security.audit_sink import AuditLines, AuditSink
from triage.security.audit_trail import AuditTrail, command_trail
from triage.security.database_users import DatabaseUsers
from triage.security.file_users import FileUsers
from triage.security.users import UsersAwayError
from triage.service.store import store_address
from triage.settings.schema import Settings
from triage.spool.cluster.address import ClusterAddress
from triage.spool.open_store import shared_database
from triage.spool.shared_database import SharedDatabase

if TYPE_CHECKING:  # a worker needs no web server
    from triage.web.auth.places import AccessPlaces
    from triage.web.auth.sessions import Sessions


def shared_by_hosts(settings: Settings) -> SharedDatabase | None:
    """Return the database that hosts share; None with the store of files. Nothing is connected yet.

    Raises StartError for a package of the extra ``cluster`` that is missing.
    """
    address = store_address(settings)
    if not isinstance(address, ClusterAddress):
        return None
    try:
        return shared_database(address)
    except ModuleNotFoundError as error:
        raise StartError(what_to_install(error, "store.kind = postgres+s3") or str(error)) from error


def database_of(settings: Settings) -> object:
    """Return what tells the database that hosts share, and its tenant, from others; None with the store of files."""
    address = store_address(settings)
    return (address.database, address.tenant) if isinstance(address, ClusterAddress) else None


def users_of(settings: Settings) -> FileUsers | DatabaseUsers:
    """Return the local users, for a command. Raises StartError for a database that does not answer."""
    database = shared_by_hosts(settings)
    if database is None:
        return FileUsers(settings.sign_in.users_file)
    users = DatabaseUsers(database)
    try:
        users.prepare()
    except UsersAwayError as error:
        raise StartError(f"store.kind = postgres+s3: {error}") from error
    return users


def audit_file(settings: Settings) -> AuditFile:
    """Return the audit trail's file of this host."""
    return AuditFile(settings.audit.path.absolute(), settings.audit.rotate_at_bytes)


def audit_sink(settings: Settings, process: str) -> AuditSink:
    """Return the place of the audit lines of a process. Nothing is connected yet. Raises StartError."""
    return _sink(settings, shared_by_hosts(settings), process)


def audit_lines(settings: Settings) -> AuditLines:
    """Return the audit lines to read: of this host's files, or of all hosts. Raises StartError."""
    database = shared_by_hosts(settings)
    return audit_file(settings) if database is None else _rows(database, "triage audit")


def audit_rows(settings: Settings, process: str) -> AuditRows | None:
    """Return the audit lines in the shared database; None with the store of files. Raises StartError."""
    database = shared_by_hosts(settings)
    return None if database is None else _rows(database, process)


def trail_for(settings: Settings, process: str) -> AuditTrail:
    """Return the audit trail of a command or process. Raises AuditError, StartError."""
    return command_trail(audit_sink(settings, process), AuditSource(settings.audit.source, process))


def sessions_of(settings: Settings) -> Sessions:
    """Return the sessions, for a command. Raises StartError."""
    from triage.web.auth.sessions import SessionTimes

    sign_in = settings.sign_in
    times = SessionTimes(sign_in.idle_minutes * 60, sign_in.longest_hours * 3600)
    return access_places(settings, "triage user").sessions(times)


def access_places(settings: Settings, process: str) -> AccessPlaces:
    """Return the places that the web process needs. Raises StartError."""
    from triage.web.auth.places import SharedPlaces, places_of_host

    database = shared_by_hosts(settings)
    if database is None:
        return places_of_host(settings.sign_in, settings.audit)
    return SharedPlaces(database, _sink(settings, database, process))


def _sink(settings: Settings, database: SharedDatabase | None, process: str) -> AuditSink:
    if database is None:
        return audit_file(settings)
    rows = _rows(database, process)
    return CopiedAudit(rows, audit_file(settings)) if settings.audit.copy_to_file else rows


def _rows(database: SharedDatabase, process: str) -> AuditRows:
    return AuditRows(database, socket.gethostname(), f"{process} ({os.getpid()})")
