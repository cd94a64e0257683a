"""The last step of preparing a cohort: the manifest is written if it is complete, or if partial ones are allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.prepare.cohort import CohortFacts, PreparedCohort, PrepareError
from triage.validation.cohort.manifest import Row, check_images, check_splits, public_patients, write_manifest
from triage.validation.cohort.provenance import Provenance, manifest_digest, provenance_path, write_provenance

SHOWN = 10
"""Number of missing files that a message names."""
RECORDED = 100
"""Number of missing files that the manifest's JSON file names."""


@dataclass(frozen=True)
class CohortSource:
    """Origin of a manifest, for its record: the cohort's folder or table, and the options of the command."""

    path: Path
    options: Mapping[str, object]


def finish(
    about: CohortFacts, prepared: PreparedCohort, source: CohortSource, out: Path, *, allow_partial: bool
) -> Provenance:
    """Write the manifest ``out`` and its JSON file, and return the content of the latter.

    Args:
        about: name, title and terms of the cohort.
        prepared: rows and checks.
        source: the cohort's folder or table, and the options; of paths only the names are recorded.
        out: the manifest to write.
        allow_partial: write a manifest although a check fails or files are missing.

    Raises:
        PrepareError: where a check fails or files are missing, unless ``allow_partial``.
        ManifestError: where a patient is in two splits or an image in two rows.
    """
    problems = _problems(prepared)
    if problems and not allow_partial:
        raise PrepareError("\n".join([*problems, "", "--allow-partial makes a manifest of what is there and says so"]))
    if not prepared.rows:
        raise PrepareError("\n".join([f"no image of {about.name} is below {source.path}", *problems]))
    rows = [replace(row, line=line) for line, row in enumerate(prepared.rows, start=2)]
    check_images(out, rows)
    check_splits(out, rows)
    write_manifest(out, rows)
    provenance = _provenance(about, prepared, source, rows, manifest_digest(out))
    write_provenance(out, provenance)
    return provenance


def _provenance(
    about: CohortFacts, prepared: PreparedCohort, source: CohortSource, rows: Sequence[Row], digest: str
) -> Provenance:
    problems = _problems(prepared)
    return Provenance(
        cohort=about.name,
        title=about.title,
        terms=about.terms,
        source=source.path.name or str(source.path),
        options={name: _plain(value) for name, value in sorted(source.options.items())},
        counts=counts(rows),
        patients=len({row.patient for row in rows}),
        public_patients=len(public_patients(rows)),
        checked=prepared.checks,
        partial=bool(problems) or prepared.from_partial,
        missing=len(prepared.missing),
        missing_first=tuple(sorted(prepared.missing)[:RECORDED]),
        warnings=(*(f"partial: {problem}" for problem in problems), *prepared.warnings),
        notes={**prepared.notes, **({"passed over": list(prepared.passed_over)} if prepared.passed_over else {})},
        manifest_sha256=digest,
    )


def counts(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Return the number of images by split (``all`` where there is none) and label."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(row.split or "all", Counter())["abnormal" if row.label else "normal"] += 1
    return {split: dict(sorted(number.items())) for split, number in sorted(found.items())}


def summary(out: Path, provenance: Provenance) -> str:
    """Return the text that the command prints after preparing."""
    lines = [f"{out}: {provenance.patients} patients"]
    for split, by_label in provenance.counts.items():
        lines.append(f"  {split}: " + ", ".join(f"{number} {label}" for label, number in by_label.items()))
    for check in provenance.checked:
        state = "not published" if check.expected is None else "as published" if check.holds else "NOT AS PUBLISHED"
        lines.append(f"  checked {check.what}: {check.found} ({state})")
    lines += [f"  warning: {warning}" for warning in provenance.warnings]
    lines += [f"  passed over: {each}" for each in provenance.notes.get("passed over", ())]
    return "\n".join([*lines, f"  terms: {provenance.terms}", f"  details in: {provenance_path(out).name}"])


def _problems(prepared: PreparedCohort) -> list[str]:
    wrong = [
        f"{check.what}: {check.found}, published are {check.expected}" for check in prepared.checks if not check.holds
    ]
    return wrong + ([_missing(prepared.missing, prepared.advice)] if prepared.missing else [])


def _missing(names: Sequence[str], advice: str) -> str:
    first = ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names)} files are missing or empty: {first}. {advice}".strip()


def _plain(value: object) -> object:
    """Return an option's value as JSON; of a path only its name, as the folders of this machine do not belong there."""
    if isinstance(value, Path):
        return value.name
    return list(value) if isinstance(value, tuple) else value
