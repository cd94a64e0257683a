"""``triage audit``: the audit trail, of this host or of all that share a store."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from triage.commands.base import PATH, Invocation, given, start_errors
from triage.commands.base import audit as recorded

if TYPE_CHECKING:
    from triage.security.audit_sink import AuditLine
    from triage.settings.schema import Settings

_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def audit() -> None:
    """Read the audit trail, which holds Patient IDs."""


@audit.command()
@click.option("--from", "since", type=_TIME, help="Lines from this time on, UTC.  [default: the first]")
@click.option("--to", "until", type=_TIME, help="Lines before this time, UTC.  [default: now]")
@click.option("--study", default="", help="Lines that name this Study Instance UID alone.")
@click.option("--out", type=PATH, help="File to make, with mode 0600.  [default: standard output]")
@given
def export(
    invocation: Invocation, since: datetime | None, until: datetime | None, study: str, out: Path | None
) -> None:
    """Write the lines of the audit trail, in order: with a store that hosts share, those of all hosts.

    Each is a DICOM audit message, as it was written. What they cover is said on standard error. That the trail was read
    is a line in it, which is written first.
    """
    settings = invocation.settings()
    from triage.security.audit_trail import note_log_used

    with start_errors():
        recorded(settings, "triage audit", note_log_used)
        covered = _Covered()
        with _errors(), _opened(out) as file:
            for line in covered.counted(_lines(settings, since, until), study):
                file.write(f"{line}\n")
    click.echo(covered.words(), err=True)


@dataclass
class _Covered:
    """The lines that were looked at, and those of them that were written."""

    looked: int = 0
    written: int = 0
    first: float = 0.0
    last: float = 0.0
    hosts: set[str] = field(default_factory=set)

    def counted(self, lines: Iterable[AuditLine], study: str) -> Iterator[str]:
        """Yield the messages that name a study; all if it is empty."""
        for line in lines:
            self.first = self.first if self.looked else line.at
            self.looked, self.last = self.looked + 1, line.at
            self.hosts.add(line.host)
            if not study or f'"{study}"' in line.message:
                self.written += 1
                yield line.message

    def words(self) -> str:
        """Return what is covered."""
        if not self.looked:
            return "no line is of that time"
        hosts = ", ".join(sorted(self.hosts))
        return f"{self.written} of {self.looked} lines from {_utc(self.first)} to {_utc(self.last)}, of {hosts}"


def _lines(settings: Settings, since: datetime | None, until: datetime | None) -> Iterator[AuditLine]:
    from triage.service.access import audit_lines

    first, last = (at.replace(tzinfo=UTC).timestamp() if at else None for at in (since, until))
    return audit_lines(settings).lines(first or 0.0, _LAST if last is None else last)


_LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    with out.open("x", encoding="utf-8", newline="\n") as file:
        out.chmod(0o600)
        yield file


@contextmanager
def _errors() -> Iterator[None]:
    from triage.errors import cause

    try:
        yield
    except OSError as error:
        raise click.ClickException(f"the export is not whole: {cause(error)}") from error


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
