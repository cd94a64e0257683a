"""``triage validate`` compared with the bare ONNX Runtime loop on the same images.

Usage: validate.py [--model DIR] [--images N]

The images are 512 px pictures drawn by code. Both run one after the other, on the same threads: first the loop over
preprocessed tensors in memory (with the fastest number of images in a run), then the scoring of validate from files
to predictions.csv (reading, decoding in child processes, preprocessing, session, fsync). The ratio of images per second
should be at least 0.7. The time in which child processes start is given apart, for a cohort of 10,000 pays it once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from bare_session import bare_loop

from triage.model.card import ModelCard, load_card
from triage.model.session import AT_ONCE
from triage.phantom.chest import draw
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.scoring.predict import Compute
from triage.validation.cohort.manifest import Row, write_manifest
from triage.validation.cohort.members import open_cohort
from triage.validation.scores.predictions import Scoring, score_cohort

BAR = 0.7
_BATCH = AT_ONCE


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", type=Path, default=Path("models/rsna-adult"))
    arguments.add_argument("--images", type=int, default=320)
    options = arguments.parse_args()
    card = load_card(options.model.resolve())
    with tempfile.TemporaryDirectory() as folder:
        rows = drawn(Path(folder), options.images)
        loop = bare(options.model.resolve(), card, [row.image for row in rows])
        few = validated(options.model.resolve(), card, rows[:_BATCH], Path(folder) / "few")
        whole = validated(options.model.resolve(), card, rows, Path(folder) / "whole")
    start = max(few - _BATCH / (options.images / loop), 0.0)
    print(f"bare loop          {options.images / loop:8.1f} images/s")
    print(f"validate           {options.images / whole:8.1f} images/s, start included (about {start:.1f} s)")
    steady = (options.images - _BATCH) / (whole - few)
    ratio = steady / (options.images / loop)
    verdict = "holds" if ratio >= BAR else "below"
    print(f"validate, started  {steady:8.1f} images/s: {ratio:.2f} of the loop, {verdict} {BAR}")


def drawn(folder: Path, count: int) -> list[Row]:
    """Write different pictures of 512 px, of few chests: drawing one takes longer than decoding it."""
    rng = np.random.default_rng(1)
    chests = [draw(number, rows=512, columns=512) for number in range(8)]
    rows = []
    for number in range(count):
        path = folder / f"{number}.jpg"
        noisy = chests[number % 8] / 16 + rng.normal(0, 2, (512, 512))
        cv2.imwrite(str(path), noisy.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
        rows.append(Row(path, number % 2, str(number)))
    return rows


def bare(folder: Path, card: ModelCard, files: list[Path]) -> float:
    """Return the seconds of the bare loop."""
    cards = {card.name: card}
    inputs = [
        prepare(file.read_bytes(), cards, AssessmentPolicy(), model_name=card.name, pictures=True).model_input
        for file in files
    ]
    batch = np.stack([each for each in inputs if each is not None])
    took, in_a_run = bare_loop(folder, batch)
    print(f"fastest with {in_a_run} in a run")
    return took


def validated(folder: Path, card: ModelCard, rows: list[Row], out: Path) -> float:
    """Return the seconds of validate's scoring, with the start of the child processes and the loading of the model."""
    out.mkdir()
    write_manifest(out / "cohort.csv", rows)
    started = time.perf_counter()
    cohort = open_cohort(out / "cohort.csv")
    score_cohort(cohort.members, Scoring(folder, card, AssessmentPolicy(), Compute()), out / "predictions.csv")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
