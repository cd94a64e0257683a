"""Users, sessions, throttle and audit trail of a test: in files, or in a database that hosts share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from triage.security.audit_file import AuditFile
from triage.security.audit_rows import AuditRows
from triage.security.database_users import DatabaseUsers
from triage.security.file_users import FileUsers
from triage.security.users import Users
from triage.spool.shared_database import SharedDatabase
from triage.web.auth.database_sessions import DatabaseSessions
from triage.web.auth.file_sessions import FileSessions
from triage.web.auth.places import SharedPlaces
from triage.web.auth.process_throttle import ProcessThrottle
from triage.web.auth.sessions import Sessions, SessionTimes
from triage.web.auth.sign_in_facts import DatabaseThrottle
from triage.web.auth.throttle import Throttle

if TYPE_CHECKING:
    from tests.support.postgres_server import PostgresServer


class Places(Protocol):
    """Each call is that of another process."""

    def users(self) -> Users: ...

    def sessions(self, times: SessionTimes) -> Sessions: ...

    def throttle(self) -> Throttle: ...

    def audit(self, host: str = "a", process: str = "triage test") -> AuditFile | AuditRows: ...

    def pass_time(self, seconds: float) -> None: ...


@dataclass
class PlacesInFiles:
    """Files in a folder, with a clock that the test sets."""

    folder: Path
    ahead_s: float = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def users(self) -> FileUsers:
        return FileUsers(self.folder / "users.json")

    def sessions(self, times: SessionTimes) -> FileSessions:
        return FileSessions(self.folder / "sessions", times, self.now)

    def throttle(self) -> ProcessThrottle:
        return ProcessThrottle(self.now)

    def audit(self, host: str = "a", process: str = "triage test") -> AuditFile:
        return AuditFile(self.folder / "audit" / "audit.xml", 1 << 20, self.now)

    def pass_time(self, seconds: float) -> None:
        self.ahead_s += seconds


@dataclass
class PlacesInDatabase:
    """Rows of a tenant. Time passes for it by having all of it happen earlier."""

    server: PostgresServer
    tenant: str
    opened: list[SharedDatabase] = field(default_factory=list)

    def database(self) -> SharedDatabase:
        from triage.spool.cluster.shared_rows import SharedRows

        made = SharedRows(self.server.address("postgres"), self.tenant)
        self.opened.append(made)
        made.prepare()
        return made

    def places(self, host: str) -> SharedPlaces:
        """The places of a web process of a host."""
        database = self.database()
        return SharedPlaces(database, AuditRows(database, host, "triage web"))

    def users(self) -> DatabaseUsers:
        return DatabaseUsers(self.database())

    def sessions(self, times: SessionTimes) -> DatabaseSessions:
        return DatabaseSessions(self.database(), times)

    def throttle(self) -> DatabaseThrottle:
        return DatabaseThrottle(self.database())

    def audit(self, host: str = "a", process: str = "triage test") -> AuditRows:
        return AuditRows(self.database(), host, process)

    def pass_time(self, seconds: float) -> None:
        earlier = "make_interval(secs => CAST(:seconds AS float8))"
        for table, columns in {"session": ("began", "seen"), "sign_in_fact": ("at",)}.items():
            changes = ", ".join(f"{each} = {each} - {earlier}" for each in columns)
            self.run(f"UPDATE {table} SET {changes} WHERE tenant = :tenant", seconds=seconds)

    def run(self, sql: str, **values: float) -> list[list[object]]:
        """Run a statement with ``:tenant`` past the places."""
        return self.server.run(sql, tenant=self.tenant, **values)
