"""A sample of the RSNA pneumonia challenge (Shih et al. 2019): whole radiographs, and lung fields cut out of others.

RSNA's ids name images and hide the NIH patient. Where the sample says which NIH image a picture is, patient and picture
are NIH's, so that cross-validation keeps it apart from itself; the patients of the others are unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.prepare import options as cli
from training.prepare import splits
from training.prepare.adults import adults_only
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError, count
from training.prepare.files import TableRow, find_file, is_present, read_table, sex, stem, years
from training.prepare.rsna import COHORT as CHALLENGE
from training.prepare.rsna import NORMAL, OPACITY, OTHER
from training.prepare.tang import patient_number
from triage.validation.cohort.manifest import Row

COLUMNS = ("image", "kind", "rsna_id", "rsna_class", "label", "view", "age", "sex", "same_as")
COUNTS = {"full": 1086, "lungs": 11_009}
CLASSES = {NORMAL: 0, OPACITY: 1, OTHER: 1}
TRAIN, LUNGS, OF_WHOLE, HELD_BACK = "train", "lungs", "lungs-of-whole", "held-back"

PATIENTS = (
    "RSNA's ids name images and hide NIH's patients: where the sample does not say which NIH image a picture is, "
    "images of one patient may be on both sides of a fold, and a patient of any NIH image may be among them under "
    "another image"
)
CLASS_MEANING = (
    "Normal is RSNA's class, given by radiologists for this challenge: devices are not annotated, and it is not the "
    "paper's definition of normal. Lung Opacity is any opacity suspicious of pneumonia"
)
LUNGS_ONLY = (
    "lung fields lack heart, mediastinum and chest wall, and some have holes: material to start from, never a test"
)


@dataclass(frozen=True)
class RSNASampleOptions:
    """Options of ``prepare rsna-sample``: kind of image, ages, and drawn folds."""

    kind: str
    ages: str
    folds: int
    seed: int


def prepare(source: Path, options: RSNASampleOptions) -> PreparedCohort:
    """Return rows of one kind: ``full`` in split train, ``lungs`` in split lungs. Raises PrepareError.

    Rows that must not train are in other splits.
    """
    kind = options.kind
    records = read_table(find_file(source, "manifest.csv", purpose="it names the sample's images"), COLUMNS)
    names = _same_as(records)
    whole = {record["rsna_id"] for record in records if record["kind"] == "full"}
    chosen = [record for record in records if record["kind"] == kind]
    there = [record for record in chosen if is_present(source / record["image"])]
    rows = [
        _row(record, source, names[record["rsna_id"]], _split(record, names[record["rsna_id"]], whole))
        for record in there
    ]
    adults = adults_only(rows, options.ages)
    rows = [row if row.split == HELD_BACK else one for row, one in zip(rows, adults, strict=True)]
    folds = options.folds if kind == "full" else 0
    return PreparedCohort(
        rows=splits.assign_folds(rows, folds, options.seed, stratum=_class_and_view),
        checks=(count(f"images of kind {kind}", len(chosen), COUNTS[kind]),),
        missing=tuple(record["image"] for record in chosen if record not in there),
        advice="Copy the folder again",
        warnings=(PATIENTS, CLASS_MEANING, *((LUNGS_ONLY,) if kind == "lungs" else ())),
        notes={"labels": ", ".join(f"{name} = {label}" for name, label in CLASSES.items()), "splits": _SPLITS[kind]},
    )


_SPLITS = {
    "full": "train; not-adult: under 18 or of unknown age; held-back: the picture is in a set that others hold back",
    "lungs": "lungs; lungs-of-whole: the picture is also among the whole ones or in the NIH sample; and as of full",
}


def _same_as(records: Sequence[TableRow]) -> Mapping[str, tuple[str, ...]]:
    """Return by RSNA's id the other names of its picture, from any of its rows; semicolons separate several."""
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        found[record["rsna_id"]] |= {name for name in record["same_as"].split(";") if name}
    return {identifier: tuple(sorted(names)) for identifier, names in found.items()}


def _split(record: TableRow, names: Sequence[str], whole: set[str]) -> str:
    if any(_nih_image(name) is None for name in names):
        return HELD_BACK
    if record["kind"] == "full":
        return TRAIN
    return OF_WHOLE if names or record["rsna_id"] in whole else LUNGS


def _nih_image(name: str) -> str | None:
    """Return ``00011241_000`` of ``.../00011241_000.jpg``; None for a picture of any other set."""
    image = stem(name.rpartition("/")[2])
    number, _, index = image.partition("_")
    return image if len(number) == 8 and number.isdigit() and index.isdigit() else None


def _row(record: TableRow, source: Path, names: Sequence[str], split: str) -> Row:
    if CLASSES.get(record["rsna_class"]) is None or record["label"] != str(CLASSES[record["rsna_class"]]):
        raise PrepareError(f"{record.where}: class {record['rsna_class']!r} and label {record['label']!r} do not agree")
    known = next((image for image in map(_nih_image, names) if image), None)
    return Row(
        image=source / record["image"],
        label=int(record["label"]),
        patient=f"nih:{patient_number(known)}" if known else f"rsna:{record['rsna_id']}",
        split=split,
        view=record["view"],
        age=years(record["age"]),
        sex=sex(record["sex"]),
        source="rsna-pneumonia",
        columns={
            "kind": record["kind"],
            "picture": f"nih:{known}" if known else f"rsna:{record['rsna_id']}",
            "rsna_class": record["rsna_class"],
        },
        labels={"lung_opacity": int(record["rsna_class"] == OPACITY)},
    )


def _class_and_view(row: Row) -> tuple[str, str]:
    return row.columns["rsna_class"], row.view


COHORT = CohortKind(
    name="rsna-sample",
    title="A sample of the RSNA pneumonia challenge: whole radiographs and lung fields, with the radiologists' classes",
    terms=CHALLENGE.terms,
    prepare=prepare,
    options_type=RSNASampleOptions,
    options=(
        cli.choice("--kind", tuple(COUNTS), "full", "Whole radiographs, or lung fields."),
        cli.ages("adults"),
        cli.folds(),
        cli.seed(),
    ),
)
