"""What preparing a cohort gives back, and what is known of a cohort beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from triage.errors import StartError
from triage.validation.cohort.manifest import Row
from triage.validation.cohort.provenance import Check


class PrepareError(StartError):
    """A cohort that cannot be prepared; the message names the file and the row, and says what to do."""


@dataclass(frozen=True)
class PreparedCohort:
    """The rows of a cohort and what was found out on the way.

    ``missing`` names the files that the cohort's tables promise and that are not there; ``advice`` says where they
    come from. ``warnings`` stay with the manifest for good; ``notes`` are the rules and figures behind the labels.
    ``passed_over``: what was there and is not used, a line for each reason, with how often.
    """

    rows: tuple[Row, ...]
    checks: tuple[Check, ...] = ()
    missing: tuple[str, ...] = ()
    advice: str = ""
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class CohortFacts:
    """A cohort's name, what it is in words, and its owner's terms."""

    name: str
    title: str
    terms: str


@dataclass(frozen=True)
class CohortKind(CohortFacts):
    """A cohort that can be prepared, and the options that are its own.

    ``prepare(source, **options)`` gets the values of ``options`` by name.
    """

    prepare: Callable[..., PreparedCohort]
    options: tuple[click.Option, ...] = ()


def count(what: str, found: int, expected: int | None = None) -> Check:
    """A Check of a number."""
    return Check(what=what, found=str(found), expected=None if expected is None else str(expected))
