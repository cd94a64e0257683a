"""Effect of a border around real chests on the shipped models. Usage: TRIAGE_DATA=... borders.py [--most N]

Each image gets a border of 5, 10, 15 and 25 % of its own side at each edge, black, white, grey and noisy dark, and is
preprocessed, scored and concluded upon as the service does. Printed: of the images that were ABNORMAL, how many become
NORMAL, without and with the check of docs/adr/0027; and how many a model with ``crop`` would see unchanged. Seeded.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from triage.model.card import load_cards
from triage.model.session import ModelSession
from triage.radiograph.crop import WHOLE, content
from triage.radiograph.orientation import UPRIGHT
from triage.radiograph.preprocess import preprocess
from triage.radiograph.types import Attributes, View
from triage.scoring.assess import AssessmentPolicy, PreparedImage
from triage.scoring.conclude import conclude

Image = npt.NDArray[np.float32]

MODELS = Path(__file__).parents[1] / "models"
SEED, NOISE_SEED = 20261128, 7
WIDTHS = (0.05, 0.1, 0.15, 0.25)
COHORTS: dict[str, tuple[str, str, Callable[[dict[str, str]], bool]]] = {
    "RSNA, adults": ("rsna-pneumonia", "rsna-adult", lambda row: row["kind"] == "full" and _adult(row)),
    "NIH expert, adults": ("nih-chestxray14", "rsna-adult", lambda row: row["split"] == "expert" and _adult(row)),
    "WCMC, children": ("wcmc-pediatric", "wcmc-pediatric", lambda row: row["split"] == "train"),
}


def _adult(row: dict[str, str]) -> bool:
    return bool(row["age"]) and float(row["age"]) >= 18


def images(
    data: Path, folder: str, wanted: Callable[[dict[str, str]], bool], random: np.random.Generator, most: int
) -> list[Image]:
    with (data / folder / "manifest.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if wanted(row)]
    chosen = sorted(random.permutation(len(rows))[:most].tolist())
    paths = [data / folder / rows[place]["image"] for place in chosen]
    return [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / np.float32(255) for path in paths]


def bordered(image: Image, width: float, kind: str, random: np.random.Generator) -> Image:
    rows, columns = image.shape
    down, across = round(rows * width), round(columns * width)
    shape = (rows + 2 * down, columns + 2 * across)
    greys = {"black": 0.0, "white": 1.0, "grey": 0.5}
    noise = random.normal(0.1, 0.02, shape) if kind == "noisy" else np.full(shape, greys[kind])
    result = np.clip(noise, 0, 1).astype(np.float32)
    result[down : down + rows, across : across + columns] = image
    return np.asarray(np.rint(result * 255) / 255, dtype=np.float32)


def tags(session: ModelSession, shown: Iterator[Image]) -> tuple[list[str], list[str]]:
    """Return the tags without the check of the border, and with it."""
    without: list[str] = []
    checked: list[str] = []
    for image in shown:
        valid = np.ones(image.shape, dtype=bool)
        model_input = preprocess(image, valid, session.card.preprocessing.spec())
        scores = session.score(model_input[np.newaxis])
        score = scores.probability[0], float(scores.distance[0])
        for found, edges in ((without, WHOLE), (checked, content(image, valid).edges(image))):
            prepared = PreparedImage(Attributes(), View.FRONTAL, content=edges, orientation=UPRIGHT)
            found.append(str(conclude(prepared, session.card, *score, AssessmentPolicy()).tag))
    return without, checked


def unchanged(session: ModelSession, image: Image, other: Image) -> bool:
    spec = replace(session.card.preprocessing.spec(), crop="border")
    inputs = [preprocess(each, np.ones(each.shape, dtype=bool), spec) for each in (image, other)]
    return bool(np.abs(inputs[0] - inputs[1]).max() < 0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=400, help="images of each cohort")
    most = parser.parse_args().most
    data, random = Path(os.environ["TRIAGE_DATA"]), np.random.default_rng(SEED)
    cards = load_cards(MODELS)
    for title, (folder, model, wanted) in COHORTS.items():
        chests = images(data, folder, wanted, random, most)
        session = ModelSession(MODELS / model, cards[model], threads=1)
        plain, checked = tags(session, iter(chests))
        refused = checked.count("NOT_ASSESSED") - plain.count("NOT_ASSESSED")
        print(f"{title}: {len(chests)} images, {plain.count('ABNORMAL')} ABNORMAL; the check refuses {refused}")
        for kind in ("black", "white", "grey", "noisy"):
            for width in WIDTHS:
                noise = np.random.default_rng(NOISE_SEED)
                around = [bordered(chest, width, kind, noise) for chest in chests]
                lost = [
                    sum(a == "ABNORMAL" and b == "NORMAL" for a, b in zip(plain, after, strict=True))
                    for after in tags(session, iter(around))
                ]
                same = sum(unchanged(session, *each) for each in zip(chests, around, strict=True))
                print(
                    f"  {kind:5} {width:4.0%}: ABNORMAL to NORMAL {lost[0]} without and {lost[1]} with the check; "
                    f"{same} look the same to a model with crop",
                    flush=True,
                )


if __name__ == "__main__":
    main()
