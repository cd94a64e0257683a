"""WCMC/Guangzhou pediatric radiographs (Kermany et al. 2018) in their official split."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2

from training.prepare import options, splits
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError, count
from training.prepare.files import digest_of, image_files
from training.prepare.options import DrawOptions
from triage.validation.cohort.manifest import Row
from triage.validation.cohort.provenance import Check

LABELS = {"NORMAL": 0, "PNEUMONIA": 1}
COUNTS = {
    ("train", 0): 1349,  # Kermany's train and val together, as the paper counts them
    ("train", 1): 3883,
    ("test", 0): 234,
    ("test", 1): 390,
}
NAMES_DIGEST = "d1a1abf3d0c83510548bbae18c85b96e667835dbd7a0be4093416607ad4a6838"
"""``digest_of`` names like ``train/NORMAL/IM-0115-0001.jpeg``, of the release whose files are named after persons."""

PATIENTS = (
    "`patient` is person and subtype: 170 of the 202 person numbers of the official test also occur in train under "
    "another subtype, and whether they are the same children is not published. Patient independence of the "
    "official test is not proven; say so with every figure"
)
LABEL_MEANING = (
    "normal: children read as normal; abnormal: pneumonia only. A model from it knows nothing of any other finding"
)
SQUARE = (
    "every image of a sample is square: these are copies that lost the aspect ratio, and a model from them sees that"
)
ADVICE = "Download ChestXRay2017 (doi 10.17632/rscbjbr9sj) and give the folder that holds chest_xray"

_NAMES = (
    re.compile(r"(?P<person>person\d+)_(?P<subtype>bacteria|virus)_\d+(?:_\d+)*"),
    re.compile(r"(?P<person>(?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)*"),
    re.compile(r"(?P<kind>BACTERIA|VIRUS|NORMAL)-(?P<person>\d+)-\d+"),
)
_SAMPLE = 20


@dataclass(frozen=True)
class _Name:
    person: str
    subtype: str


def prepare(source: Path, chosen: DrawOptions) -> PreparedCohort:
    """Return rows of the official test, and of train and val together, of which validation is carved by person."""
    root = _root(source)
    rows = []
    for official in ("train", "val", "test"):
        for kind, label in LABELS.items():
            rows += [_row(path, official, label) for path in image_files(root / official / kind)]
    carved = splits.carve(rows, chosen.validation, chosen.seed, group=splits.by_person)
    warnings = (PATIENTS, LABEL_MEANING, *((SQUARE,) if _all_square(rows) else ()))
    return PreparedCohort(
        rows=splits.assign_folds(carved, chosen.folds, chosen.seed, group=splits.by_person),
        checks=tuple(_checks(root, rows)),
        advice=ADVICE,
        warnings=warnings,
        notes={"validation and folds": "by bare person (free column `person`), over the official train and val"},
    )


def parse_name(name: str) -> _Name | None:
    """Return person and subtype of a file name of either release; None for any other name."""
    for pattern in _NAMES:
        match = pattern.fullmatch(Path(name).stem)
        if match:
            parts = match.groupdict()
            return _Name(parts["person"], parts.get("subtype") or (parts.get("kind") or "normal").lower())
    return None


def _root(source: Path) -> Path:
    for folder in (source, source / "chest_xray", source / "chest_xray" / "chest_xray", source / "images"):
        if (folder / "train").is_dir() and (folder / "test").is_dir():
            return folder
    raise PrepareError(f"{source} holds no folder train and test, in chest_xray or images or directly. {ADVICE}")


def _row(path: Path, official: str, label: int) -> Row:
    name = parse_name(path.name)
    if name is None:
        raise PrepareError(f"{path} is named like no image of this cohort: remove it, or prepare it as a folder")
    if (name.subtype == "normal") != (label == 0):
        raise PrepareError(f"{path} lies in {path.parent.name} and its name says {name.subtype}")
    return Row(
        image=path,
        label=label,
        patient=f"wcmc:{name.person}-{name.subtype}",
        split="test" if official == "test" else "train",
        source="wcmc-pediatric",
        columns={
            "person": name.person,
            "subtype": name.subtype,
            "official_split": official,
            "picture": f"wcmc:{official}/{path.parent.name}/{path.stem}",
        },
    )


def _all_square(rows: list[Row]) -> bool:
    step = max(1, len(rows) // _SAMPLE)
    pictures = [cv2.imread(str(row.image), cv2.IMREAD_GRAYSCALE) for row in rows[::step][:_SAMPLE]]
    shapes = [picture.shape for picture in pictures if picture is not None]
    return bool(shapes) and all(height == width for height, width in shapes)


def _checks(root: Path, rows: list[Row]) -> list[Check]:
    found = Counter((row.split, row.label) for row in rows)
    checks = [
        count(f"{'train and val' if split == 'train' else split} labelled {label}", found[split, label], number)
        for (split, label), number in COUNTS.items()
    ]
    by_person = any(row.columns["person"].startswith("person") for row in rows)
    digest = digest_of(row.image.relative_to(root).as_posix() for row in rows)
    expected = NAMES_DIGEST if by_person else None
    return [*checks, Check(what="SHA-256 of the sorted image names", found=digest, expected=expected)]


COHORT = CohortKind(
    name="wcmc",
    title="WCMC/Guangzhou pediatric chest radiographs (Kermany et al. 2018), official split",
    terms="CC BY 4.0; cite Kermany et al. 2018 (Cell 172:1122)",
    prepare=prepare,
    options_type=DrawOptions,
    options=options.drawn(),
)
