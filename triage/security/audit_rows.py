"""The audit trail in the database that several hosts share: one for all of them, to which lines are only added."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from triage.security.audit_file import AuditFile
from triage.security.audit_sink import AuditLine
from triage.spool.errors import SpoolError
from triage.spool.shared_database import SharedDatabase

_PAGE = 1000
_SECONDS = "CAST(extract(epoch FROM {}) AS float8)"
_NOW = f"SELECT {_SECONDS.format('clock_timestamp()')}"
_APPEND = "INSERT INTO audit_line (tenant, host, process, content) VALUES (:tenant, :host, :process, :content)"
_LINES = f"""
SELECT {_SECONDS.format("at")}, host, process, content, CAST(at AS text), number FROM audit_line
WHERE tenant = :tenant AND at >= to_timestamp(CAST(:since AS float8)) AND at < to_timestamp(CAST(:until AS float8))
AND (at, number) > (CAST(:behind AS timestamptz), CAST(:number AS bigint))
ORDER BY at, number LIMIT {_PAGE}
"""
_MOVE = """
INSERT INTO audit_line (tenant, host, process, at, content, moved)
SELECT :tenant, line.host, line.process, to_timestamp(CAST(line.at AS float8)), line.content, line.key
FROM unnest(CAST(:times AS text[]), CAST(:hosts AS text[]), CAST(:processes AS text[]), CAST(:contents AS text[]),
  CAST(:keys AS text[])) WITH ORDINALITY AS line(at, host, process, content, key, place)
ORDER BY line.place ON CONFLICT DO NOTHING RETURNING number
"""


@dataclass(frozen=True)
class MovedLine:
    """A line out of another place, and a key that it has at each move."""

    line: AuditLine
    key: str

    @property
    def message(self) -> str:
        """The message of the line."""
        return self.line.message


@dataclass(frozen=True)
class AuditRows:
    """The lines of a tenant, and the host and process that write here."""

    database: SharedDatabase
    host: str
    process: str
    setting: str = "store.kind"

    @property
    def name(self) -> str:
        """The database."""
        return self.database.name

    @property
    def uri(self) -> str:
        """The table."""
        return f"{self.database.name}#audit_line"

    def now(self) -> float:
        """Return the database's time: hosts' clocks differ."""
        ((found,),) = self.database.read(_NOW)
        assert isinstance(found, float)
        return found

    def prepare(self) -> None:
        """Make the tables that are missing."""
        try:
            self.database.prepare()
        except SpoolError as error:
            raise OSError(errno.EIO, str(error)) from error

    def check(self) -> None:
        """Do nothing: who may read it is the database's to say."""

    def append(self, message: str) -> None:
        """Write a line in a transaction of its own."""
        self.database.write(_APPEND, host=self.host, process=self.process, content=message)

    def lines(self, since: float, until: float) -> Iterator[AuditLine]:
        """Yield the lines of a time, of all hosts, in the order in which they were written."""
        behind, number = "-infinity", 0
        while rows := self.database.read(_LINES, since=since, until=until, behind=behind, number=number):
            for at, host, process, message, *_ in rows:
                assert isinstance(at, float)
                yield AuditLine(at, str(host), str(process), str(message))
            behind, number = str(rows[-1][4]), int(str(rows[-1][5]))

    def move(self, lines: Iterable[MovedLine]) -> int:
        """Take over lines of another place, each once however often it is called; return the number of new ones."""
        page = list(lines)
        moved = self.database.write(
            _MOVE,
            times=[repr(each.line.at) for each in page],
            hosts=[each.line.host for each in page],
            processes=[each.line.process for each in page],
            contents=[each.message for each in page],
            keys=[each.key for each in page],
        )
        return len(moved)


@dataclass(frozen=True)
class CopiedAudit:
    """The lines of a tenant, each also in the file of this host, out of which a log shipper sends it."""

    rows: AuditRows
    copy: AuditFile

    @property
    def name(self) -> str:
        """Both places."""
        return f"{self.rows.name} with {self.copy.name}"

    @property
    def setting(self) -> str:
        """Both settings."""
        return "store.kind, audit.copy_to_file"

    @property
    def uri(self) -> str:
        """The table: the file is a copy."""
        return self.rows.uri

    def now(self) -> float:
        """Return the database's time."""
        return self.rows.now()

    def prepare(self) -> None:
        """Make what is missing of both."""
        self.rows.prepare()
        self.copy.prepare()

    def check(self) -> None:
        """Raise StartError if others can read the file."""
        self.copy.check()

    def append(self, message: str) -> None:
        """Write a line into the database, and then into the file."""
        self.rows.append(message)
        self.copy.append(message)
