"""RSNA pneumonia detection challenge (Shih et al. 2019): NIH radiographs that radiologists labelled anew.

The paper's split is unpublished; ours is drawn with a seed and has the paper's sizes. One split serves both tasks: of
the paper's test images 1,532 are normal, 1,000 show lung opacity and so 2,000 of its 3,000 abnormal ones show none.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from training.prepare import options, splits
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError, count
from training.prepare.crosswalk import WHERE, read_crosswalk, translate
from training.prepare.files import TableRow, digest_of, find_file, index_images, locate, read_table, sex, years
from training.prepare.options import DrawOptions
from triage.validation.cohort.manifest import Row
from triage.validation.cohort.provenance import Check

NORMAL, OPACITY, OTHER = "Normal", "Lung Opacity", "No Lung Opacity / Not Normal"
COUNTS: dict[str, dict[Hashable, int]] = {
    "1": {NORMAL: 8525, OPACITY: 5659, OTHER: 11_500},  # as Tang et al. 2020 state them
    "2": {NORMAL: 8851, OPACITY: 6012, OTHER: 11_821},
}
"""Images by class in the training tables of the challenge's two stages. The paper's 25,684 are those of stage 1."""
TEST: dict[Hashable, int] = {NORMAL: 1532, OPACITY: 1000, OTHER: 2000}
"""Number of images of the paper's test set by class."""
TASKS: dict[str, dict[Hashable, int]] = {
    "abnormal": {NORMAL: 0, OPACITY: 1, OTHER: 1},
    "opacity": {NORMAL: 0, OPACITY: 1},
}

NO_CROSSWALK = (
    "no crosswalk was given: RSNA's patientId names an image, not a patient, so images of one NIH patient may be on "
    "both sides of this split, and it must not be joined with NIH ChestX-ray14"
)
STAGE_2 = "the paper used the 25,684 images of stage 1; stage 2 has 1,000 more, all of them outside the test set's size"
ADVICE = "Unpack stage_2_train_images.zip of kaggle.com/c/rsna-pneumonia-detection-challenge below the source folder"


@dataclass(frozen=True)
class _RSNAImage:
    where: str
    identifier: str
    kind: str
    boxes: int


@dataclass(frozen=True)
class RSNAOptions(DrawOptions):
    """Options of ``prepare rsna``: task, stage of the challenge, and the file that tells NIH's patients."""

    task: str
    stage: str
    crosswalk: Path | None
    each_image_a_patient: bool


def prepare(source: Path, chosen: RSNAOptions) -> PreparedCohort:
    """Return rows of the task, the test set drawn by patient in the paper's sizes. Raises PrepareError."""
    task, stage, seed = chosen.task, chosen.stage, chosen.seed
    if chosen.crosswalk is None and not chosen.each_image_a_patient:
        raise PrepareError(
            f"RSNA's images are of NIH's patients, several of one patient among them. Give --crosswalk ({WHERE}), or "
            "--each-image-a-patient to go on without knowing them"
        )
    patients = read_crosswalk(chosen.crosswalk) if chosen.crosswalk else {}
    known = _read_images(source, stage)
    rows: Sequence[Row] = [_row(image, patients) for image in known]
    rows = splits.hold_out(rows, _test_sizes(rows), seed, "test", stratum=_kind)
    rows = [replace(row, label=TASKS[task][_kind(row)]) for row in rows if _kind(row) in TASKS[task]]
    rows = splits.carve(rows, chosen.validation, seed, stratum=_kind)
    rows = splits.assign_folds(rows, chosen.folds, seed, stratum=_kind)
    present, missing = locate(rows, index_images(_image_folder(source, stage)))
    return PreparedCohort(
        rows=tuple(_with_header(row) for row in present),
        checks=(*_class_checks(known, stage), *_test_checks(rows, task)),
        missing=tuple(f"{name}.dcm" for name in missing),
        advice=ADVICE,
        warnings=(*((NO_CROSSWALK,) if chosen.crosswalk is None else ()), *((STAGE_2,) if stage == "2" else ())),
        notes={"labels": f"{task}: " + ", ".join(f"{kind} = {label}" for kind, label in TASKS[task].items())},
    )


def _read_images(source: Path, stage: str) -> list[_RSNAImage]:
    purpose = "it comes with the challenge, kaggle.com/c/rsna-pneumonia-detection-challenge"
    classes = read_table(
        find_file(source, f"stage_{stage}_detailed_class_info.csv", purpose=purpose), ("patientId", "class")
    )
    labels = read_table(find_file(source, f"stage_{stage}_train_labels.csv", purpose=purpose), ("patientId", "Target"))
    boxes: Counter[str] = Counter()
    for record in labels:
        boxes[record["patientId"]] += _target(record)
    images: dict[str, _RSNAImage] = {}
    for record in classes:  # an image has a row for each of its boxes
        identifier, kind = record["patientId"], record["class"]
        if kind not in COUNTS[stage]:
            raise PrepareError(f"{record.where}: class {kind!r} is none of {', '.join(map(str, COUNTS[stage]))}")
        if identifier not in boxes:
            raise PrepareError(f"{record.where}: {identifier} is not in stage_{stage}_train_labels.csv")
        if (boxes[identifier] > 0) != (kind == OPACITY):
            raise PrepareError(f"{record.where}: {identifier} is {kind!r} with {boxes[identifier]} boxes of opacity")
        first = images.setdefault(identifier, _RSNAImage(record.where, identifier, kind, boxes[identifier]))
        if first.kind != kind:
            raise PrepareError(f"{record.where}: {identifier} is {kind!r} here and {first.kind!r} further up")
    unclassed = sorted(boxes.keys() - images.keys())
    if unclassed:
        raise PrepareError(f"stage_{stage}_detailed_class_info.csv lacks {unclassed[0]} and {len(unclassed) - 1} more")
    return sorted(images.values(), key=lambda image: image.identifier)


def _target(record: TableRow) -> int:
    if record["Target"] not in ("0", "1"):
        raise PrepareError(f"{record.where}: Target {record['Target']!r} is not 0 or 1")
    return int(record["Target"])


def _image_folder(source: Path, stage: str) -> Path:
    """Return the folder of the stage's images where there is one, so that both stages may share a source folder."""
    own = [source / f"stage_{number}_train_images" for number in (stage, "2")]
    return next((folder for folder in own if folder.is_dir()), source)


def _row(image: _RSNAImage, patients: Mapping[str, str]) -> Row:
    patient = f"rsna:{image.identifier}"
    return Row(
        image=Path(image.identifier),
        label=0,
        patient=translate(patient, patients, image.where) if patients else patient,
        split="train",
        source="rsna-pneumonia",
        columns={"class": image.kind, "boxes": str(image.boxes), "rsna_patient": image.identifier},
    )


def _with_header(row: Row) -> Row:
    header = _header(row.image)
    if header["PatientID"] not in ("", row.columns["rsna_patient"]):
        raise PrepareError(f"{row.image} holds an image of another patientId than its name says")
    return replace(row, view=header["ViewPosition"], age=years(header["PatientAge"]), sex=sex(header["PatientSex"]))


def _header(path: Path) -> dict[str, str]:
    """Return view, age, sex and patientId of a DICOM file; empty for a converted picture."""
    names = ("PatientID", "PatientAge", "PatientSex", "ViewPosition")
    if path.suffix.lower() != ".dcm":
        return dict.fromkeys(names, "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # RSNA writes ages as 51, not 051Y
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(names))
            return {name: str(dataset.get(name) or "") for name in names}
    except (OSError, InvalidDicomError) as error:
        raise PrepareError(f"{path} is not a DICOM file: {error}") from error


def _kind(row: Row) -> Hashable:
    return row.columns["class"]


def _test_sizes(rows: Sequence[Row]) -> dict[Hashable, int]:
    """Return the paper's sizes, or the same shares where there are too few images for them."""
    there = Counter(map(_kind, rows))
    published = COUNTS["1"]
    if all(there[kind] >= number for kind, number in published.items()):
        return TEST
    return {kind: round(there[kind] * number / published[kind]) for kind, number in TEST.items()}


def _class_checks(images: Sequence[_RSNAImage], stage: str) -> list[Check]:
    found = Counter(image.kind for image in images)
    return [count(f"images {kind!r}", found[str(kind)], number) for kind, number in COUNTS[stage].items()]


def _test_checks(rows: Sequence[Row], task: str) -> list[Check]:
    test = [row for row in rows if row.split == "test"]
    found = Counter(map(_kind, test))
    digest = digest_of(row.image.name for row in test)
    return [
        *(count(f"test images {kind!r}", found[kind], TEST[kind]) for kind in TASKS[task]),
        Check(what="SHA-256 of the test's sorted patientIds", found=digest),
    ]


COHORT = CohortKind(
    name="rsna",
    title="RSNA pneumonia detection challenge 2018 (Shih et al. 2019)",
    terms=(
        "RSNA: non-commercial use, see the challenge's rules; the images are NIH's: cite Shih et al. 2019 and "
        "Wang et al. 2017"
    ),
    prepare=prepare,
    options_type=RSNAOptions,
    options=(
        options.choice("--task", tuple(TASKS), "abnormal", "Normal against everything else, or against lung opacity."),
        options.choice("--stage", ("1", "2"), "2", "Whose tables: stage 1 holds the paper's 25,684 images."),
        options.file("--crosswalk", "RSNA's mapping to NIH's images: its JSON, or a CSV rsna_patient,nih_image."),
        options.flag("--each-image-a-patient", "Go on without a crosswalk; a warning stays with the manifest."),
        *options.drawn(),
    ),
)
