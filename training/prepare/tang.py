"""The image lists that Tang et al. 2020 published for NIH ChestX-ray14: ``name label`` a line, 1 is abnormal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.prepare.cohort import PrepareError, count
from training.prepare.files import digest_of, find_file, read_text
from triage.validation.cohort.provenance import Check

TRAIN, VAL = "train.txt", "val.txt"
ATTENDING, CONSENSUS = "test_attending_rad.txt", "test_rad_consensus_voted3.txt"
TEST_LABELS = {"attending": ATTENDING, "consensus": CONSENSUS}

COUNTS = {TRAIN: (4261, 4313), VAL: (849, 857), ATTENDING: (677, 667), CONSENSUS: (691, 653)}
"""Number of normal and of abnormal images in each list."""

DIGESTS = {
    TRAIN: "c763a9d63b39c10700bd57bed479235f253397785b6b67255aaaf6d81a2d4118",
    VAL: "3b09cd688194616c8cce1ba285165df5be460a28e90d01a4c0bf59c0e2ba23dc",
    ATTENDING: "80d468e0263baf17194bc7f01715d529b22ca66878ed356f4da0458b6e740579",
    CONSENSUS: "8892dcf3da17f81ef6ad0e749c4eaa52a22f3aa61b8c20590fbffe0272b61c62",
}
"""``digest_of`` the lists' lines."""

WHERE = "give the folder of the lists published with Tang et al. 2020 (doi 10.1038/s41746-020-0273-z) with --lists"


@dataclass(frozen=True)
class TangLists:
    """Labels by image name of each list; names end in .png."""

    lists: Mapping[str, Mapping[str, int]]

    def split_of(self) -> dict[str, str]:
        """Return train, val or test by image name."""
        named = (("train", TRAIN), ("val", VAL), ("test", CONSENSUS), ("test", ATTENDING))
        return {name: split for split, file in named for name in self.lists[file]}

    def test_patients(self) -> frozenset[str]:
        """Return NIH's numbers of the patients of the test list, without leading zeros."""
        return frozenset(patient_number(name) for name in self.lists[CONSENSUS])

    def checks(self) -> list[Check]:
        """Return the checks of the lists' counts and digests against the published ones."""
        found = []
        for file, labels in self.lists.items():
            tally = Counter(labels.values())
            normal, abnormal = COUNTS[file]
            found += [count(f"{file} normal", tally[0], normal), count(f"{file} abnormal", tally[1], abnormal)]
            digest = digest_of(f"{name} {label}" for name, label in labels.items())
            found.append(Check(what=f"{file} SHA-256 of its sorted lines", found=digest, expected=DIGESTS[file]))
        return found


def read_lists(folder: Path) -> TangLists:
    """Read the four lists. Raises PrepareError for a line that is not ``name label``, or a patient on two sides."""
    lists = TangLists({name: _read_list(find_file(folder, name, purpose=WHERE)) for name in COUNTS})
    if lists.lists[ATTENDING].keys() != lists.lists[CONSENSUS].keys():
        raise PrepareError(f"{folder}: {ATTENDING} and {CONSENSUS} do not name the same images")
    _check_apart(folder, lists)
    return lists


def patient_number(name: str) -> str:
    """Return NIH's patient of an image: ``00011136_001.png`` -> ``11136``."""
    return name.partition("_")[0].lstrip("0")


def _read_list(path: Path) -> dict[str, int]:
    labels: dict[str, int] = {}
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        parts = text.split()
        if not parts:
            continue
        if len(parts) != 2 or parts[1] not in ("0", "1"):
            raise PrepareError(f"{path}, line {line}: {text!r} is not an image's name and 0 or 1")
        if parts[0] in labels:
            raise PrepareError(f"{path}, line {line}: {parts[0]} is in the list already")
        labels[parts[0]] = int(parts[1])
    return labels


def _check_apart(folder: Path, lists: TangLists) -> None:
    first: dict[str, tuple[str, str]] = {}
    for file in (TRAIN, VAL, CONSENSUS):
        for name in lists.lists[file]:
            other = first.setdefault(patient_number(name), (file, name))
            if other[0] != file:
                raise PrepareError(
                    f"{folder}: {name} of {file} and {other[1]} of {other[0]} are of one patient; splits must be by "
                    "patient"
                )
