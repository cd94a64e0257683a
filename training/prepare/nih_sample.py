"""The sample of NIH ChestX-ray14 among this project's data: parts ``text`` and ``expert``.

``text`` has text-mined labels, ``expert`` the class of RSNA's radiologists and five folds grouped by patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.prepare import options, splits, tang
from training.prepare.adults import adults_only
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError, count
from training.prepare.files import TableRow, find_file, is_present, read_table, sex, stem, years
from training.prepare.nih_table import TERMS
from training.prepare.options import DrawOptions
from training.prepare.rsna import OPACITY
from triage.validation.cohort.manifest import Row

COLUMNS = (
    "image", "patient", "age", "sex", "view", "findings", "split", "text_label", "rsna_class", "rsna_label",
    "expert_fold",
)  # fmt: skip
KEPT_COLUMNS = ("findings", "text_label", "rsna_class", "rsna_label")
LABEL = {"text": "text_label", "expert": "rsna_label"}
COUNTS = {"text": 942, "expert": 298}

NOT_THE_TEST = "these are not the paper's test images and must never be reported as them"
DISAGREE = (
    "text-mined labels and the radiologists' classes disagree often (kappa about 0.11 on part expert): the truth here "
    "is rsna_label"
)
VIEW = "view is a confounder that turns round between the parts: report PA and AP apart, with the AUC of view alone"
PURE = "part expert is either a test set or, by its folds, a training set with figures out of fold: never both"
KEPT = (
    "patients of the paper's own test list are in here: nothing that was trained on this may be compared with the "
    "paper's test figures"
)


@dataclass(frozen=True)
class NIHSampleOptions(DrawOptions):
    """Options of ``prepare nih-sample``: parts, use of part expert, lists of the paper's test patients, ages."""

    part: str
    expert: str
    lists: Path | None
    keep_paper_test: bool
    ages: str


def prepare(source: Path, chosen: NIHSampleOptions) -> PreparedCohort:
    """Return rows of one part or both. Raises PrepareError.

    Part ``text`` is split into train and val by patient; ``expert`` is the test or has folds.
    """
    table = find_file(source, "manifest.csv", purpose="it names the sample's images")
    parts = tuple(LABEL) if chosen.part == "both" else (chosen.part,)
    records = [record for record in read_table(table, COLUMNS) if record["split"] in parts]
    held_back = _test_patients(source, chosen.lists, chosen.keep_paper_test)
    kept = [record for record in records if record["patient"] not in held_back]
    there = [record for record in kept if is_present(source / record["image"])]
    rows = [_row(record, source / record["image"]) for record in there]
    left_out = len({record["patient"] for record in records if record["patient"] in held_back})
    return PreparedCohort(
        rows=adults_only(_split(rows, chosen), chosen.ages),
        checks=tuple(count(f"images of part {each}", _number(records, each), COUNTS[each]) for each in parts),
        missing=tuple(record["image"] for record in kept if record not in there),
        advice="Copy the folder again",
        warnings=(NOT_THE_TEST, DISAGREE, VIEW, PURE, *((KEPT,) if chosen.keep_paper_test else ())),
        notes={
            "labels": ", ".join(f"{each}: {LABEL[each]}" for each in parts),
            "patients of the paper's test list left out": left_out,
            "images of them left out": len(records) - len(kept),
        },
    )


def _test_patients(source: Path, lists: Path | None, keep: bool) -> frozenset[str]:
    if keep:
        return frozenset()
    folder = lists or source.resolve().parent / "nih-tang-splits"
    if not folder.is_dir():
        raise PrepareError(
            f"{folder} is not there, so the patients of the paper's test cannot be left out: {tang.WHERE}, or keep "
            "them with --keep-paper-test and compare nothing with the paper"
        )
    return tang.read_lists(folder).test_patients()


def _row(record: TableRow, image: Path) -> Row:
    part = record["split"]
    label = record[LABEL[part]]
    if label not in ("0", "1"):
        raise PrepareError(f"{record.where}: {LABEL[part]} {label!r} is not 0 or 1")
    fold = record["expert_fold"]
    return Row(
        image=image,
        label=int(label),
        patient=f"nih:{record['patient']}",
        fold=int(float(fold)) if fold else None,
        view=record["view"],
        age=years(record["age"]),
        sex=sex(record["sex"]),
        source="nih-chestxray14",
        columns={"part": part, "picture": f"nih:{stem(image.name)}"} | {name: record[name] for name in KEPT_COLUMNS},
        labels={"lung_opacity": int(record["rsna_class"] == OPACITY)} if record["rsna_class"] else {},
    )


def _split(rows: Sequence[Row], chosen: NIHSampleOptions) -> tuple[Row, ...]:
    """Return part text as train and val, and part expert as the test or as a split of its own with its folds."""
    text = [replace(row, split="train") for row in rows if row.columns["part"] == "text"]
    carved = splits.carve(text, chosen.validation, chosen.seed, stratum=splits.by_label_and_view)
    experts = [row for row in rows if row.columns["part"] == "expert"]
    if chosen.expert == "test":
        experts = [replace(row, split="test", fold=None) for row in experts]
    else:
        experts = [replace(row, split="expert") for row in experts]
    return (*splits.assign_folds(carved, chosen.folds, chosen.seed), *experts)


def _number(records: list[TableRow], part: str) -> int:
    return sum(record["split"] == part for record in records)


COHORT = CohortKind(
    name="nih-sample",
    title="A sample of NIH ChestX-ray14 with text-mined labels and RSNA's radiologists' classes",
    terms=TERMS,
    prepare=prepare,
    options_type=NIHSampleOptions,
    options=(
        options.choice("--part", ("text", "expert", "both"), "expert", "Which part, or both."),
        options.choice("--expert", ("folds", "test"), "folds", "Part expert as split expert with folds, or as test."),
        options.folder("--lists", "Folder of the paper's lists. Default: nih-tang-splits next to the source folder."),
        options.flag("--keep-paper-test", "Keep patients of the paper's test list; a warning stays with the manifest."),
        options.ages("all"),
        *options.drawn(),
    ),
)
