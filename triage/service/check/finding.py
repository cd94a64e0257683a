"""One line of `triage check`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"  # it works, and a person should know
    FAILED = "failed"  # it does not work as it is set up


@dataclass(frozen=True)
class CheckResult:
    """One finding on a subject; where it is no good one, with what to do."""

    level: Level
    subject: str
    finding: str


def ok(subject: str, finding: str) -> CheckResult:
    """Return a finding of severity OK."""
    return CheckResult(Level.OK, subject, finding)


def warning(subject: str, finding: str) -> CheckResult:
    """Return a finding of severity WARNING: it works, and a person should know."""
    return CheckResult(Level.WARNING, subject, finding)


def failed(subject: str, finding: str) -> CheckResult:
    """Return a finding of severity FAILED: it does not work as it is set up."""
    return CheckResult(Level.FAILED, subject, finding)
