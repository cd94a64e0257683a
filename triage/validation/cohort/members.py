"""A manifest made ready to be scored: what can be wrong with it is found before the first image is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from triage.model.card import ModelCard
from triage.validation.cohort.manifest import ManifestError, Row, read_manifest
from triage.validation.cohort.provenance import read_provenance


@dataclass(frozen=True)
class Member:
    """One image: its name, its row, and the SHA-256 of its bytes.

    The name is its path relative to the manifest, or for images elsewhere to the folder that all of them have in
    common: what is written beside figures does not say where the data lie.
    """

    name: str
    row: Row
    digest: str


@dataclass(frozen=True)
class ValidationCohort:
    """The images that are validated on. ``duplicates`` counts those whose bytes an earlier one has too.

    ``title`` and ``notes`` are from the file beside the manifest, if there is one; the notes are what whoever prepared
    the cohort says must stand beside its figures.
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
    """The rows of ``manifest``, or those of one ``split``. Raises ManifestError that names what is wrong.

    Beside what ``read_manifest`` checks: both classes are there, and no two files hold the same bytes (unless allowed,
    for published cohorts that do; never with contradicting labels).
    """
    every = read_manifest(manifest)
    rows = [row for row in every if not split or row.split == split]
    if not rows:
        raise ManifestError(f"{manifest} has no row of split {split!r}")
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
        provenance.warnings if provenance else (),
    )


@dataclass(frozen=True)
class Trained:
    """What a model learnt from, as far as its folder says. ``patients``: public identifiers; ``images``: the SHA-256 of
    each file and public names of pictures; None where the card has no such list.
    """

    patients: frozenset[str] | None
    images: frozenset[str] | None = None

    def has_image(self, member: Member) -> bool:
        """Whether it learnt from this very image, whatever patient the manifest says it is of.

        By the bytes of the file, or by the free column ``picture``, which names what several copies show.
        """
        return self.images is not None and not self.images.isdisjoint(
            {member.digest, member.row.columns.get("picture")}
        )

    def has(self, member: Member) -> bool:
        """Whether it learnt from this image, or from another one of its patient."""
        return member.row.patient in (self.patients or ()) or self.has_image(member)


def trained_on(folder: Path, card: ModelCard) -> Trained:
    """The lists in a model folder."""
    return Trained(_list(folder, card.training.patients_file), _list(folder, card.training.images_file))


def _list(folder: Path, name: str | None) -> frozenset[str] | None:
    if name is None:
        return None
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip())


@dataclass(frozen=True)
class Overlap:
    """How many images are of patients who trained the model; ``images`` None where that cannot be told, and why not."""

    images: int | None
    why: str = ""


def overlap(members: Sequence[Member], trained: Trained) -> Overlap:
    """Compare the identifiers of manifest and model, and the bytes of the images.

    Two lists that write the patients of one cohort in two ways have none in common, and that says nothing: where no
    form of identifier (digits apart) is in both, nothing is claimed.
    """
    if trained.patients is None:
        return Overlap(None, "the model's card does not list the patients it was trained on")
    ours = {member.row.patient for member in members}
    theirs = trained.patients
    for cohort in sorted({_cohort_of(patient) for patient in ours} & {_cohort_of(patient) for patient in theirs}):
        forms = [{_form(each) for each in names if _cohort_of(each) == cohort} for names in (ours, theirs)]
        if not forms[0] & forms[1]:
            why = f"the model's list writes patients of {cohort or 'this cohort'} in another form than the manifest"
            return Overlap(None, f"{why} ({min(forms[1])} there, {min(forms[0])} here; 0 stands for digits)")
    return Overlap(sum(trained.has(member) for member in members))


def without(cohort: ValidationCohort, trained: Trained) -> ValidationCohort:
    """The cohort without images that the model learnt from, and without their patients.

    ManifestError if that cannot be told, or one class or nothing is left.
    """
    found = overlap(cohort.members, trained)
    if found.images is None:
        raise ManifestError(f"{cohort.manifest}: training patients cannot be left out: {found.why}")
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
        raise ManifestError(f"{manifest}, line {row.line}: {row.image} cannot be read: {error.strerror}") from error
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
        if earlier.row.label != member.row.label:
            raise ManifestError(f"{where} and another label")
        if not allowed:
            raise ManifestError(f"{where}; --allow-duplicates lets a published cohort that has them through")
        count += 1
    return count
