"""One line of `triage check`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, and a person should know
    FAILED = "failed"  # it does not work as it is set up


@dataclass(frozen=True)
class CheckResult:
    """What was looked at, and what was found: if it is not as it should be, what to do."""

    level: Level
    what: str
    said: str


def ok(what: str, said: str) -> CheckResult:
    """As it should be."""
    return CheckResult(Level.OK, what, said)


def warning(what: str, said: str) -> CheckResult:
    """It works, and a person should know."""
    return CheckResult(Level.WARNING, what, said)


def failed(what: str, said: str) -> CheckResult:
    """It does not work as it is set up."""
    return CheckResult(Level.FAILED, what, said)
