"""The places of users, sessions, throttle and audit trail: this host, or the database that several hosts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from triage.security.audit_file import AuditFile
from triage.security.audit_sink import AuditSink
from triage.security.database_users import DatabaseUsers
from triage.security.file_users import FileUsers
from triage.security.users import Users
from triage.settings.sections.audit import AuditSettings
from triage.settings.sections.sign_in import SignInSettings
from triage.spool.shared_database import SharedDatabase
from triage.web.auth.database_sessions import DatabaseSessions
from triage.web.auth.file_sessions import FileSessions
from triage.web.auth.process_throttle import ProcessThrottle
from triage.web.auth.sessions import Sessions, SessionTimes
from triage.web.auth.sign_in_facts import DatabaseStates, DatabaseThrottle
from triage.web.auth.throttle import Throttle
from triage.web.auth.used_states import ProcessStates, UsedStates


class AccessPlaces(Protocol):
    """The places of what signing in needs, and of the audit trail."""

    def users(self) -> Users:
        """Return the local users."""
        ...

    def sessions(self, times: SessionTimes) -> Sessions:
        """Return the sessions, with these limits."""
        ...

    def throttle(self) -> Throttle:
        """Return the throttle of password guesses."""
        ...

    def used_states(self) -> UsedStates:
        """Return the states that came back from an identity provider."""
        ...

    def audit_sink(self) -> AuditSink:
        """Return the place of the audit trail's lines."""
        ...


@dataclass(frozen=True)
class PlacesOfHost:
    """Files of this host, and the memory of this process."""

    users_file: Path
    audit: AuditFile

    def users(self) -> FileUsers:
        """Return the users of the file."""
        return FileUsers(self.users_file)

    def sessions(self, times: SessionTimes) -> FileSessions:
        """Return the sessions next to the file of users."""
        return FileSessions(self.users_file.absolute().with_name("sessions"), times)

    def throttle(self) -> ProcessThrottle:
        """Return the throttle of this process."""
        return ProcessThrottle()

    def used_states(self) -> ProcessStates:
        """Return the states of this process."""
        return ProcessStates()

    def audit_sink(self) -> AuditFile:
        """Return the file of the audit trail."""
        return self.audit


@dataclass(frozen=True)
class SharedPlaces:
    """The database that several hosts share."""

    database: SharedDatabase
    audit: AuditSink

    def users(self) -> DatabaseUsers:
        """Return the users of the tenant."""
        return DatabaseUsers(self.database)

    def sessions(self, times: SessionTimes) -> DatabaseSessions:
        """Return the sessions of the tenant."""
        return DatabaseSessions(self.database, times)

    def throttle(self) -> DatabaseThrottle:
        """Return the throttle of all hosts."""
        return DatabaseThrottle(self.database)

    def used_states(self) -> DatabaseStates:
        """Return the states of all hosts."""
        return DatabaseStates(self.database)

    def audit_sink(self) -> AuditSink:
        """Return the audit trail of all hosts."""
        return self.audit


def places_of_host(sign_in: SignInSettings, audit: AuditSettings) -> PlacesOfHost:
    """Return the files that the settings name."""
    return PlacesOfHost(sign_in.users_file, AuditFile(audit.path.absolute(), audit.rotate_at_bytes))
