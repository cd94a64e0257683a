"""The provenance file of a manifest: its sources, the checks that were made, and warnings for every report."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from triage.validation.cohort.manifest import ManifestError


class _ProvenancePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_ProvenancePart):
    """One count or digest. ``expected`` is absent where no such value is published."""

    what: str
    found: str
    expected: str | None = None

    @property
    def holds(self) -> bool:
        """True if the value is as published, or none is published."""
        return self.expected is None or self.found == self.expected


class Provenance(_ProvenancePart):
    """``<manifest>.json``. ``partial``: files were missing or a check failed, and that was allowed by an option."""

    cohort: str
    title: str
    terms: str
    source: str
    options: dict[str, Any]
    counts: dict[str, dict[str, int]]
    patients: int
    public_patients: int
    checked: tuple[Check, ...]
    partial: bool
    missing: int
    missing_first: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: dict[str, Any]
    manifest_sha256: str


def provenance_path(manifest: Path) -> Path:
    """Return the path of the provenance file: ``nih.csv`` -> ``nih.csv.json``, in the same folder."""
    return manifest.with_name(manifest.name + ".json")


def manifest_digest(manifest: Path) -> str:
    """Return the SHA-256 of the manifest's bytes, in hexadecimal."""
    return sha256(manifest.read_bytes()).hexdigest()


def write_provenance(manifest: Path, provenance: Provenance) -> None:
    """Write ``provenance`` into the folder of ``manifest``."""
    text = json.dumps(provenance.model_dump(), indent=1, ensure_ascii=False)
    provenance_path(manifest).write_text(text + "\n", encoding="utf-8")


def read_provenance(manifest: Path) -> Provenance | None:
    """Read the provenance of ``manifest``; None if there is no such file (a manifest written by hand).

    Raises ManifestError if the file has another format, or belongs to another state of the manifest.
    """
    path = provenance_path(manifest)
    if not path.exists():
        return None
    try:
        provenance = Provenance.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    if provenance.manifest_sha256 != manifest_digest(manifest):
        raise ManifestError(
            f"{path} describes another state of {manifest.name}, which was changed since: prepare it again, "
            f"or delete {path.name} if the change was meant"
        )
    return provenance
