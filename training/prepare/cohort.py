"""Cohorts that can be prepared, and the result of preparing one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import click

from triage.errors import StartError
from triage.validation.cohort.manifest import Row
from triage.validation.cohort.provenance import Check

OptionsT = TypeVar("OptionsT")


class PrepareError(StartError):
    """Raised where a cohort cannot be prepared. The message names the file and the row, and says what to do."""


@dataclass(frozen=True)
class PreparedCohort:
    """Rows of a prepared cohort, and the checks of its files.

    ``missing`` names files of the cohort's tables that are absent; ``advice`` says where they come from. ``warnings``
    stay with the manifest; ``notes`` are the rules and figures behind the labels. ``passed_over`` counts the files that
    are not used, one line for each reason. ``from_partial``: a manifest that it was made from is partial.
    """

    rows: tuple[Row, ...]
    checks: tuple[Check, ...] = ()
    missing: tuple[str, ...] = ()
    advice: str = ""
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, object] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    from_partial: bool = False


@dataclass(frozen=True)
class CohortFacts:
    """Name of a cohort, its title, and its owner's terms."""

    name: str
    title: str
    terms: str


@dataclass(frozen=True)
class CohortKind(CohortFacts, Generic[OptionsT]):
    """A cohort that can be prepared: its function, and its options on the command line.

    ``options_type`` holds the values of ``options``, by the names of their parameters.
    """

    prepare: Callable[[Path, OptionsT], PreparedCohort]
    options_type: type[OptionsT]
    options: tuple[click.Option, ...] = ()

    def prepare_with(self, source: Path, values: Mapping[str, object]) -> PreparedCohort:
        """Prepare the cohort at ``source`` with the ``values`` of its options. Raises PrepareError."""
        return self.prepare(source, self.options_type(**values))


def count(name: str, number: int, expected: int | None = None) -> Check:
    """Return the check of a number against the published one, where it is known."""
    return Check(what=name, found=str(number), expected=None if expected is None else str(expected))
