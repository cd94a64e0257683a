"""NIH ChestX-ray14 with the paper's own lists of training, validation and test images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.prepare import nih_table, options, splits, tang
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError
from training.prepare.files import index_images, stem
from training.prepare.nih_table import NIHTableRow
from triage.validation.cohort.manifest import Row

ADVICE = (
    "Unpack all twelve images_*.tar.gz of nihcc.app.box.com/v/ChestXray-NIHCC below the source folder; names are "
    "enough, subfolders do not matter"
)
TEXT_VERSUS_LISTS = "the paper's text says 11,596 radiographs; its published lists, which are used here, hold 11,624"


@dataclass(frozen=True)
class NIHOptions:
    """Options of ``prepare nih``; ``test_labels`` names the label set of the test."""

    lists: Path | None
    test_labels: str
    seed: int
    folds: int


def prepare(source: Path, chosen: NIHOptions) -> PreparedCohort:
    """Return rows of the lists' images in their published splits; the test's other label set is in a free column."""
    entries = nih_table.read_entries(source)
    published = tang.read_lists(chosen.lists or source)
    images = index_images(source)
    rows, missing = [], []
    for name, split in published.split_of().items():
        if name not in entries:
            raise PrepareError(f"{name} of the paper's lists is not in NIH's table below {source}")
        image = images.get(stem(name))
        if image is None:
            missing.append(name)
        else:
            rows.append(_row(entries[name], image, split, published, chosen.test_labels))
    checks = [*nih_table.checks(entries), *published.checks()]
    notes = {
        "labels": "train and val: text-mined by the paper's authors; test: the label set named by test_labels",
        "image files": sorted({row.image.suffix for row in rows}),
    }
    rows_in_folds = splits.assign_folds(rows, chosen.folds, chosen.seed)
    return PreparedCohort(rows_in_folds, tuple(checks), tuple(missing), ADVICE, (TEXT_VERSUS_LISTS,), notes)


def _row(entry: NIHTableRow, image: Path, split: str, published: tang.TangLists, test_labels: str) -> Row:
    labels = {name: published.lists[file] for name, file in tang.TEST_LABELS.items()}
    other = {f"label_{name}": str(known[entry.name]) if split == "test" else "" for name, known in labels.items()}
    file = {"train": tang.TRAIN, "val": tang.VAL, "test": tang.TEST_LABELS[test_labels]}[split]
    return entry.row(image, published.lists[file][entry.name], split, other)


COHORT = CohortKind(
    name="nih",
    title="NIH ChestX-ray14, the lists of Tang et al. 2020",
    terms=nih_table.TERMS,
    prepare=prepare,
    options_type=NIHOptions,
    options=(
        options.folder("--lists", "Folder of the paper's four lists. Default: the source folder."),
        options.choice(
            "--test-labels",
            tuple(sorted(tang.TEST_LABELS)),
            "consensus",
            "Which of the paper's two label sets the test has; the other stands in a free column.",
        ),
        options.seed(),
        options.folds(),
    ),
)
