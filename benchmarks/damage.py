"""Measure damaged images: the figures of docs/explanation/robustness.md. Needs TRIAGE_DATA and the shipped models.

python benchmarks/damage.py scored COPIES [ENCODING ...]    damaged copies that are scored, by encoding and damage
python benchmarks/damage.py sent COPIES                     the same of real files as their makers encoded them
python benchmarks/damage.py flipped COPIES [ENCODING ...]   copies with one flipped bit that are scored, and NORMAL
python benchmarks/damage.py intact                          intact files that are refused, by the reason
python benchmarks/damage.py speed SIDE [ENCODING ...]       from file to model input without the checks and with
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

import cv2
import imagecodecs
import numpy as np
from pydicom import dcmread
from statsmodels.stats.proportion import proportion_confint

from tests.support.damaged import DAMAGES, ENCODINGS, FLIPPED, UNPROVABLE, Pixels, damaged
from triage.decision.types import Tag
from triage.model.card import load_card
from triage.model.session import ModelSession
from triage.radiograph import decode, samples
from triage.radiograph.jpeg import jpeg_header
from triage.radiograph.types import Rejected
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare
from triage.scoring.conclude import conclude

MODEL = Path(__file__).parents[1] / "models" / "rsna-adult"
SIDE = 400  # pixels: enough for the model, and a thousand copies an encoding in minutes
RADIOGRAPHS = 12
_TOO_SMALL = 20_000  # bytes: a file without an image worth damaging
COHORTS = ("wcmc-pediatric", "nih-chestxray14", "rsna-pneumonia")


def main() -> int:
    command, *rest = sys.argv[1:]
    data = Path(os.environ["TRIAGE_DATA"])
    number, encodings = int(rest[0]) if rest else 0, rest[1:] or list(ENCODINGS)
    {
        "scored": lambda: count_scored(data, number, encodings),
        "flipped": lambda: count_flipped(data, number, encodings),
        "sent": lambda: count_scored_as_sent(data, number),
        "intact": lambda: count_intact(data),
        "speed": lambda: compare_speed(data, number, encodings),
    }[command]()
    return 0


class Scorer:
    """The shipped model, used as the service uses it."""

    def __init__(self) -> None:
        self.card = load_card(MODEL)
        self._session = ModelSession(MODEL, self.card, threads=1)

    def prepared(self, file: bytes) -> PreparedImage:
        return prepare(file, {self.card.name: self.card}, AssessmentPolicy(), model_name=self.card.name, pictures=True)

    def tag(self, prepared: PreparedImage) -> Tag:
        """Return the tag: NOT_ASSESSED if the image was refused or is too far from the training images."""
        if prepared.model_input is None:
            return Tag.NOT_ASSESSED
        scores = self._session.score(prepared.model_input[None])
        return conclude(prepared, self.card, scores.probability[0], float(scores.distance[0]), AssessmentPolicy()).tag


def radiographs(data: Path, side: int = SIDE) -> Iterator[Pixels]:
    """Yield real radiographs, uint16 (side, side): their 8 bits, and seeded noise in 4 bits below."""
    for path in sorted((data / "nih-chestxray14" / "originals").glob("*.png")):
        grey = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (side, side), interpolation=cv2.INTER_AREA)
        fine = np.random.default_rng(1).integers(0, 16, grey.shape)
        yield np.where(grey > 0, grey.astype(np.uint16) * 16 + fine, 0).astype(np.uint16)


def abnormal(data: Path, scorer: Scorer) -> list[Pixels]:
    """Return the radiographs that the model calls ABNORMAL."""
    file = ENCODINGS["uncompressed"]
    found = [pixels for pixels in radiographs(data) if scorer.tag(scorer.prepared(file(pixels))) is Tag.ABNORMAL]
    return found[:RADIOGRAPHS]


def copies_of(encoding: str, kind: str, images: list[Pixels], copies: int) -> Iterator[bytes]:
    """Yield damaged files in the encoding, of each image in turn, seeded by encoding, kind and number."""
    files = [ENCODINGS[encoding](pixels) for pixels in images]
    damage = DAMAGES.get(kind, FLIPPED)
    for number in range(copies):
        yield damaged(files[number % len(files)], damage, Random(f"{encoding}, {kind}, {number}"))


def count_scored(data: Path, copies: int, encodings: list[str]) -> None:
    scorer = Scorer()
    images = list(radiographs(data))[:RADIOGRAPHS]
    counts = {}
    for encoding in encodings:
        for kind in (kind for kind in DAMAGES if (encoding, kind) not in UNPROVABLE):
            files = copies_of(encoding, kind, images, copies)
            counts[encoding, kind] = sum(scorer.prepared(file).rejected is None for file in files)
        row = (str(counts.get((encoding, kind), "-")) for kind in DAMAGES)
        print(f"| {encoding} | {' | '.join(row)} |", flush=True)
    total, scored = copies * len(counts), sum(counts.values())
    print(f"of {total} copies, {copies} each, scored: {bound(scored, total)} %")


def count_scored_as_sent(data: Path, copies: int) -> None:
    """Count damaged copies that are scored, of real compressed files as their makers encoded them."""
    for path in sorted((data / "dicom").rglob("*.dcm")):
        file = path.read_bytes()
        if len(file) < _TOO_SMALL or isinstance(decoded(file), Rejected) or not is_compressed(file):
            continue
        counts = []
        for kind, damage in DAMAGES.items():
            seeds = (Random(f"{path.name}, {kind}, {number}") for number in range(copies))
            broken = (damaged(file, damage, seed) for seed in seeds)
            counts.append(sum(copy != file and not isinstance(decoded(copy), Rejected) for copy in broken))
        print(f"| {path.name} | {' | '.join(map(str, counts))} |", flush=True)


def is_compressed(file: bytes) -> bool:
    return dcmread(BytesIO(file), stop_before_pixels=True).file_meta.TransferSyntaxUID.is_encapsulated


def count_flipped(data: Path, copies: int, encodings: list[str]) -> None:
    scorer = Scorer()
    images = abnormal(data, scorer)
    print(f"{len(images)} radiographs that the model calls ABNORMAL")
    for encoding in encodings:
        tags: Counter[Tag] = Counter()
        refused = 0
        for file in copies_of(encoding, "flipped", images, copies):
            prepared = scorer.prepared(file)
            refused += prepared.rejected is not None
            tags[scorer.tag(prepared)] += 1
        scored, normal = bound(copies - refused, copies), bound(tags[Tag.NORMAL], copies)
        print(f"| {encoding} | {scored} | {normal} |", flush=True)


def bound(count: int, of: int) -> str:
    """Return a proportion with its exact (Clopper-Pearson) 95 % interval, in percent."""
    low, high = proportion_confint(count, of, method="beta")
    return f"{100 * count / of:.1f} ({100 * low:.2f}-{100 * high:.2f})"


def count_intact(data: Path) -> None:
    for cohort in COHORTS:
        pictures = sorted(path for path in (data / cohort).rglob("*") if path.suffix in (".jpg", ".jpeg", ".png"))
        report(cohort, (decode.decode_picture(path.read_bytes()) for path in pictures))
    files = sorted((data / "dicom").rglob("*.dcm"))
    report("DICOM", (decoded(path.read_bytes()) for path in files))


def decoded(file: bytes) -> object:
    opened = decode.open_dicom(file)
    return opened if isinstance(opened, Rejected) else decode.decode_pixels(*opened)


def report(name: str, results: Iterator[object]) -> None:
    refusals = Counter(result.detail if isinstance(result, Rejected) else "" for result in results)
    whole = refusals.pop("", 0)
    print(f"{name}: {whole} read, {sum(refusals.values())} refused", *refusals.items(), sep="\n  ", flush=True)


def compare_speed(data: Path, side: int, encodings: list[str]) -> None:
    """Print medians of alternating runs, ms of one core; without the checks one decoder takes all JPEG."""
    scorer = Scorer()
    pixels = next(radiographs(data, side))
    for encoding in encodings:
        file = ENCODINGS[encoding](pixels)
        taken: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(9):
            for checked in taken:
                taken[checked].append(seconds(partial(scorer.prepared, file), checked))
        after, before = (float(np.median(taken[checked])) for checked in (True, False))
        print(f"| {encoding} | {1000 * before:.0f} | {1000 * after:.0f} | {after / before:.2f} |", flush=True)


def seconds(work: Callable[[], PreparedImage], checked: bool) -> float:
    if checked:
        return elapsed(work)
    with (
        patch.object(decode, "decode_jpeg", unchecked_jpeg),
        patch.object(samples, "decode_jpeg", unchecked_jpeg),
        patch.object(samples, "check_jpeg2000", jpeg2000_as_stated),
        patch.object(decode, "check_png", lambda data: None),
    ):
        return elapsed(work)


def elapsed(work: Callable[[], PreparedImage]) -> float:
    started = time.process_time()
    assert work().rejected is None
    return time.process_time() - started


def jpeg2000_as_stated(codestream: bytes) -> SimpleNamespace:
    """Return what the header of a JPEG 2000 codestream of one component states, believed as it stands."""
    right, bottom, left, top = struct.unpack_from(">4I", codestream, codestream.index(b"\xff\x4f\xff\x51") + 8)
    return SimpleNamespace(rows=bottom - top, columns=right - left, components=1, precision=0)


def unchecked_jpeg(codestream: bytes, *, several: bool = False) -> tuple[Pixels, object]:
    assert b"\xff\xd9" in codestream[-64:]
    return imagecodecs.jpeg8_decode(codestream), jpeg_header(codestream)


if __name__ == "__main__":
    sys.exit(main())
