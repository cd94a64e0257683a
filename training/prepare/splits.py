"""Seeded splits of whole patients. The draw is by digest: the same on every machine and under every Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from training.prepare.cohort import PrepareError
from triage.validation.cohort.manifest import Row

Group = Callable[[Row], str]
Stratum = Callable[[Row], Hashable]


def by_patient(row: Row) -> str:
    """Return the patient of a row."""
    return row.patient


def by_person(row: Row) -> str:
    """Return the person of a row: WCMC's free column, as its `patient` is person and subtype; else the patient."""
    person = row.columns.get("person")
    return f"{row.source}:{person}" if person else row.patient


def by_label(row: Row) -> Hashable:
    """Return the label of a row."""
    return row.label


def by_label_and_view(row: Row) -> Hashable:
    """Return label and view: view is a confounder, so parts to be compared need the same shares of views."""
    return row.label, row.view


def draw(rows: Iterable[Row], wanted: Mapping[Hashable, int], seed: int, group: Group, stratum: Stratum) -> set[str]:
    """Draw whole groups in a seeded order, each taken unless a stratum would exceed its wanted number of images."""
    sizes: dict[str, Counter[Hashable]] = defaultdict(Counter)
    for row in rows:
        sizes[group(row)][stratum(row)] += 1
    left = Counter(wanted)
    taken = set()
    for name in sorted(sizes, key=lambda name: _lot(seed, name)):
        if all(left[part] >= number for part, number in sizes[name].items()):
            taken.add(name)
            left.subtract(sizes[name])
    return taken


def hold_out(
    rows: Sequence[Row],
    wanted: Mapping[Hashable, int],
    seed: int,
    split: str,
    group: Group = by_patient,
    stratum: Stratum = by_label,
) -> tuple[Row, ...]:
    """Return ``rows`` with ``wanted`` images of each stratum of split ``train`` moved to ``split``, in whole groups.

    Fewer are moved where whole groups do not add up to the number; the caller has to check it.
    """
    taken = draw((row for row in rows if row.split == "train"), wanted, seed, group, stratum)
    return tuple(replace(row, split=split) if row.split == "train" and group(row) in taken else row for row in rows)


def carve(
    rows: Sequence[Row],
    share: float,
    seed: int,
    split: str = "val",
    group: Group = by_patient,
    stratum: Stratum = by_label,
) -> tuple[Row, ...]:
    """Return ``rows`` with about ``share`` of each stratum of split ``train`` moved to ``split``, in whole groups."""
    sizes = Counter(stratum(row) for row in rows if row.split == "train")
    wanted = {part: round(share * number) for part, number in sizes.items()}
    return hold_out(rows, wanted, seed, split, group, stratum)


def assign_folds(
    rows: Sequence[Row], folds: int, seed: int, group: Group = by_patient, stratum: Stratum = by_label_and_view
) -> tuple[Row, ...]:
    """Return ``rows`` with a fold from 0 to ``folds`` - 1 in those of splits train and val, strata spread evenly.

    Whole groups are assigned, the largest first, each to the fold that keeps the folds most even. ``folds`` 0 changes
    nothing. Raises PrepareError for fewer groups than folds.
    """
    if not folds:
        return tuple(rows)
    sizes: dict[str, Counter[Hashable]] = defaultdict(Counter)
    for row in rows:
        if row.split in ("train", "val"):
            sizes[group(row)][stratum(row)] += 1
    if len(sizes) < folds:
        raise PrepareError(f"{folds} folds need as many patients; train and val have {len(sizes)}")
    filled: list[Counter[Hashable]] = [Counter() for _ in range(folds)]
    fold_of: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name].total(), _lot(seed, name))):
        fold_of[name] = min(range(folds), key=lambda fold: _cost(filled[fold], sizes[name]))
        filled[fold_of[name]].update(sizes[name])
    return tuple(replace(row, fold=fold_of.get(group(row))) if row.split in ("train", "val") else row for row in rows)


def _cost(filled: Counter[Hashable], added: Counter[Hashable]) -> tuple[int, int]:
    """Return the fold's count of the added strata, then its size: the smallest cost keeps folds even."""
    return sum(filled[part] * number for part, number in added.items()), filled.total()


def _lot(seed: int, name: str) -> str:
    return sha256(f"{seed}:{name}".encode()).hexdigest()
