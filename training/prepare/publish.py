"""The last step of preparing: nothing is written unless everything is there, or somebody allowed less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.prepare.cohort import CohortFacts, PreparedCohort, PrepareError
from triage.validation.cohort.manifest import Row, check_images, check_splits, public_patients, write_manifest
from triage.validation.cohort.provenance import Provenance, manifest_digest, provenance_path, write_provenance

SHOWN = 10
"""So many missing files are named in a message; the manifest's JSON file names a hundred."""


def finish(
    about: CohortFacts,
    prepared: PreparedCohort,
    source: Path,
    options: Mapping[str, Any],
    out: Path,
    *,
    allow_partial: bool,
    made_from_partial: bool = False,
) -> Provenance:
    """Write the manifest ``out`` and the JSON file beside it, and return what the latter says.

    Raises PrepareError where a check fails or files are missing, unless ``allow_partial``; ManifestError where a
    patient is in two splits or an image in two rows, always.
    """
    problems = _problems(prepared)
    if problems and not allow_partial:
        raise PrepareError("\n".join([*problems, "", "--allow-partial makes a manifest of what is there and says so"]))
    if not prepared.rows:
        raise PrepareError("\n".join([f"no image of {about.name} is below {source}", *problems]))
    rows = [replace(row, line=line) for line, row in enumerate(prepared.rows, start=2)]
    check_images(out, rows)
    check_splits(out, rows)
    write_manifest(out, rows)
    provenance = Provenance(
        cohort=about.name,
        title=about.title,
        terms=about.terms,
        source=source.name or str(source),
        options={name: _plain(value) for name, value in sorted(options.items())},
        counts=counts(rows),
        patients=len({row.patient for row in rows}),
        public_patients=len(public_patients(rows)),
        checked=prepared.checks,
        partial=bool(problems) or made_from_partial,
        missing=len(prepared.missing),
        missing_first=tuple(sorted(prepared.missing)[:100]),
        warnings=(*(f"partial: {problem}" for problem in problems), *prepared.warnings),
        notes={**prepared.notes, **({"passed over": list(prepared.passed_over)} if prepared.passed_over else {})},
        manifest_sha256=manifest_digest(out),
    )
    write_provenance(out, provenance)
    return provenance


def counts(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Images by split (``all`` where there is none) and label."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(row.split or "all", Counter())["abnormal" if row.label else "normal"] += 1
    return {split: dict(sorted(number.items())) for split, number in sorted(found.items())}


def summary(out: Path, provenance: Provenance) -> str:
    """What a person reads after preparing."""
    lines = [f"{out}: {provenance.patients} patients"]
    for split, by_label in provenance.counts.items():
        lines.append(f"  {split}: " + ", ".join(f"{number} {label}" for label, number in by_label.items()))
    for check in provenance.checked:
        state = "not published" if check.expected is None else "as published" if check.holds else "NOT AS PUBLISHED"
        lines.append(f"  checked {check.what}: {check.found} ({state})")
    lines += [f"  warning: {warning}" for warning in provenance.warnings]
    lines += [f"  passed over: {each}" for each in provenance.notes.get("passed over", ())]
    return "\n".join([*lines, f"  terms: {provenance.terms}", f"  written beside it: {provenance_path(out).name}"])


def _problems(prepared: PreparedCohort) -> list[str]:
    wrong = [
        f"{check.what}: {check.found}, published are {check.expected}" for check in prepared.checks if not check.holds
    ]
    return wrong + ([_missing(prepared.missing, prepared.advice)] if prepared.missing else [])


def _missing(names: Sequence[str], advice: str) -> str:
    first = ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names)} files are missing or empty: {first}. {advice}".strip()


def _plain(value: object) -> object:
    """An option as JSON; of a path only its name, as a folder's place is nobody else's business."""
    if isinstance(value, Path):
        return value.name
    return list(value) if isinstance(value, tuple) else value
