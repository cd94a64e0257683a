"""The cohort of a manifest, checked before the first image is scored."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from triage.errors import cause
from triage.model.card import ModelCard
from triage.validation.cohort.chosen import representative
from triage.validation.cohort.manifest import ManifestError, Row, read_manifest
from triage.validation.cohort.provenance import read_provenance


@dataclass(frozen=True)
class Member:
    """One image: its name, its row, and the SHA-256 of its bytes.

    The name is its path relative to the manifest's folder, or, for images elsewhere, to their common folder: reports
    do not tell where the data lie.
    """

    name: str
    row: Row
    digest: str


@dataclass(frozen=True)
class ValidationCohort:
    """The images of a validation. ``duplicates``: number of images with the bytes of an earlier one.

    ``title`` and ``notes`` are from the provenance file of the manifest, if there is one; the notes are warnings that
    every report of the cohort has to show. Those on cases that were left out come first.
    """

    manifest: Path
    sha256: str
    split: str
    members: tuple[Member, ...]
    duplicates: int
    title: str = ""
    notes: tuple[str, ...] = ()
    left_out: int = 0


def open_cohort(
    manifest: Path,
    *,
    split: str = "",
    allow_duplicates: bool = False,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> ValidationCohort:
    """Open the images of ``manifest``, or of one ``split``.

    In addition to the checks of ``read_manifest``, both classes must be there, and no two files may hold the same bytes
    (unless allowed, for published cohorts that have duplicates; never with contradicting labels).

    Raises:
        ManifestError: naming the first fault.
    """
    every = read_manifest(manifest)
    rows = [row for row in every if not split or row.split == split]
    if not rows:
        raise ManifestError(f"{manifest} has no row of split {split!r}")
    rows, notes = representative(manifest, rows)
    classes = {row.label for row in rows}
    if len(classes) == 1:
        raise ManifestError(f"{manifest}: every label is {classes.pop()}; measuring needs both classes")
    provenance = read_provenance(manifest)
    root = _root(manifest, every)
    members = []
    for row in rows:
        members.append(Member(_name(row, root), row, _digest(row, manifest)))
        progress(1, len(rows))
    duplicates = _duplicates(manifest, members, allow_duplicates)
    return ValidationCohort(
        manifest,
        sha256(manifest.read_bytes()).hexdigest(),
        split,
        tuple(members),
        duplicates,
        provenance.title if provenance else "",
        (*notes, *(provenance.warnings if provenance else ())),
    )


@dataclass(frozen=True)
class TrainingLists:
    """The lists of training data in a model folder; None where the card has no such list.

    ``patients``: public identifiers; ``images``: the SHA-256 of each file, and public names of pictures.
    """

    patients: frozenset[str] | None
    images: frozenset[str] | None = None

    def has_image(self, member: Member) -> bool:
        """Return whether the model was trained on this very image, whatever its patient in the manifest.

        Compared by the bytes of the file, or by the free column ``picture``, a name that copies of one picture share.
        """
        return self.images is not None and not self.images.isdisjoint(
            {member.digest, member.row.columns.get("picture")}
        )

    def has(self, member: Member) -> bool:
        """Return whether the model was trained on this image, or on another one of its patient."""
        return member.row.patient in (self.patients or ()) or self.has_image(member)


def read_training_lists(folder: Path, card: ModelCard) -> TrainingLists:
    """Read the lists in a model folder."""
    return TrainingLists(_list(folder, card.training.patients_file), _list(folder, card.training.images_file))


def _list(folder: Path, name: str | None) -> frozenset[str] | None:
    if name is None:
        return None
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip())


@dataclass(frozen=True)
class Overlap:
    """The number of images of training patients; None, with the reason, where it cannot be known."""

    images: int | None
    reason: str = ""


def overlap(members: Sequence[Member], trained: TrainingLists) -> Overlap:
    """Count the images that the model was trained on, by identifiers of patients and bytes of images.

    Two lists that write the patients of one cohort in different forms have none in common, which shows nothing. So the
    number is unknown if no form of identifier (with 0 for digits) occurs in both lists of a cohort.
    """
    if trained.patients is None:
        return Overlap(None, "the model's card does not list the patients it was trained on")
    in_cohort = {member.row.patient for member in members}
    in_training = trained.patients
    for cohort in sorted(
        {_cohort_of(patient) for patient in in_cohort} & {_cohort_of(patient) for patient in in_training}
    ):
        forms = [{_form(each) for each in names if _cohort_of(each) == cohort} for names in (in_cohort, in_training)]
        if not forms[0] & forms[1]:
            reason = f"the model's list writes patients of {cohort or 'this cohort'} in another form than the manifest"
            return Overlap(None, f"{reason} ({min(forms[1])} there, {min(forms[0])} here; 0 stands for digits)")
    return Overlap(sum(trained.has(member) for member in members))


def exclude_training_patients(cohort: ValidationCohort, trained: TrainingLists) -> ValidationCohort:
    """Return the cohort without images that the model was trained on, and without other images of their patients.

    Raises ManifestError if the overlap is unknown, or if not both classes are left.
    """
    found = overlap(cohort.members, trained)
    if found.images is None:
        raise ManifestError(f"{cohort.manifest}: training patients cannot be left out: {found.reason}")
    kept = tuple(member for member in cohort.members if not trained.has(member))
    if len({member.row.label for member in kept}) < 2:
        raise ManifestError(f"{cohort.manifest}: without the model's training patients no two classes are left")
    return replace(cohort, members=kept, left_out=len(cohort.members) - len(kept))


def _cohort_of(patient: str) -> str:
    return patient.partition(":")[0] if ":" in patient else ""


def _form(patient: str) -> str:
    return re.sub(r"[0-9]+", "0", patient)


def _root(manifest: Path, rows: Sequence[Row]) -> Path:
    folder = manifest.parent.resolve()
    images = [row.image.resolve() for row in rows]
    if all(image.is_relative_to(folder) for image in images):
        return folder
    return Path(os.path.commonpath([image.parent for image in images]))


def _name(row: Row, root: Path) -> str:
    return row.image.resolve().relative_to(root).as_posix()


def _digest(row: Row, manifest: Path) -> str:
    try:
        with row.image.open("rb") as file:
            digest = sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise ManifestError(f"{manifest}, line {row.line}: {row.image} cannot be read: {cause(error)}") from error
    return digest.hexdigest()


def _duplicates(manifest: Path, members: Sequence[Member], allowed: bool) -> int:
    first: dict[str, Member] = {}
    count = 0
    for member in members:
        earlier = first.setdefault(member.digest, member)
        if earlier is member:
            continue
        where = (
            f"{manifest}, line {member.row.line}: {member.row.image} holds the same bytes as line {earlier.row.line}"
        )
        if earlier.row.all_labels != member.row.all_labels:
            raise ManifestError(f"{where} and another label")
        if not allowed:
            raise ManifestError(f"{where}; --allow-duplicates lets a published cohort that has them through")
        count += 1
    return count
