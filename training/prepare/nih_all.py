"""All of NIH ChestX-ray14 with its text-mined labels, in NIH's own split: much to train on, and noisy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.prepare import nih_table, options, splits, tang
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError, count
from training.prepare.files import find_file, index_images, locate, read_text, stem
from training.prepare.nih import ADVICE
from training.prepare.options import DrawOptions
from triage.validation.cohort.manifest import Row

LISTS = {"train": ("train_val_list.txt", 86_524), "test": ("test_list.txt", 25_596)}
NOISY = (
    "labels are text-mined: 1 is any of fourteen findings. Against RSNA's radiologists such labels reach kappa about "
    "0.11 on the sample at hand, because they call most of what radiologists read as normal abnormal"
)
KEPT = "patients of the paper's own test list are in here: compare nothing that was trained on this with the paper"


@dataclass(frozen=True)
class NIHAllOptions(DrawOptions):
    """Options of ``prepare nih-all``."""

    lists: Path | None
    keep_paper_test: bool


def prepare(source: Path, chosen: NIHAllOptions) -> PreparedCohort:
    """Return every image of NIH's table, without the patients of the paper's test list, in NIH's split.

    Split val is carved of train. Raises PrepareError.
    """
    entries = nih_table.read_entries(source)
    split_of = _read_splits(source)
    unlisted = entries.keys() - split_of.keys()
    if unlisted:
        raise PrepareError(f"{min(unlisted)} and {len(unlisted) - 1} more of NIH's table are in neither of its lists")
    held_back = frozenset() if chosen.keep_paper_test else tang.read_lists(chosen.lists or source).test_patients()
    kept = [entry for entry in entries.values() if tang.patient_number(entry.name) not in held_back]
    rows: Sequence[Row] = [entry.row(Path(stem(entry.name)), entry.text_label, split_of[entry.name]) for entry in kept]
    rows = splits.carve(rows, chosen.validation, chosen.seed, stratum=splits.by_label_and_view)
    rows = splits.assign_folds(rows, chosen.folds, chosen.seed)
    present, missing = locate(rows, index_images(source))
    found = Counter(split_of.values())
    return PreparedCohort(
        rows=tuple(present),
        checks=(
            *nih_table.checks(entries),
            *(count(f"images in {name}", found[split], number) for split, (name, number) in LISTS.items()),
        ),
        missing=tuple(f"{name}.png" for name in missing),
        advice=ADVICE,
        warnings=(NOISY, *((KEPT,) if chosen.keep_paper_test else ())),
        notes={
            "labels": f"1: any text-mined finding, 0: {nih_table.NO_FINDING}",
            "images left out, of patients of the paper's test list": len(entries) - len(kept),
        },
    )


def _read_splits(source: Path) -> dict[str, str]:
    split_of: dict[str, str] = {}
    for split, (name, _) in LISTS.items():
        path = find_file(source, name, purpose="NIH publishes it with the images")
        for line, image in enumerate(read_text(path).split(), start=1):
            if split_of.setdefault(image, split) != split:
                raise PrepareError(f"{path}, line {line}: {image} is in the other list too")
    return split_of


COHORT = CohortKind(
    name="nih-all",
    title="NIH ChestX-ray14, all 112,120 images with text-mined labels, NIH's own split",
    terms=nih_table.TERMS,
    prepare=prepare,
    options_type=NIHAllOptions,
    options=(
        options.folder("--lists", "Folder of the paper's lists. Default: the source folder."),
        options.flag("--keep-paper-test", "Keep patients of the paper's test list; a warning stays with the manifest."),
        *options.drawn(),
    ),
)
