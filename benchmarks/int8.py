"""Eight bits: what quantising a released model costs and gains. Usage: int8.py [--help]

The model's graph is quantised (static, per channel, QDQ) with the ranges of ``--calibrate`` images of the manifest, and
both graphs score the others: calls that change at each operating point of the card, change of the AUC with its
interval, refusals that change, size, and CPU time of one image on one thread, in turn in the same process. The verdict
is that of the export: at most 1 % of the calls and refusals change, and the AUC by 0.005.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from bare_session import cpu_seconds, one_thread_session
from service import table

from export.parity import ParityError, check_refusals, check_variant, run_graph
from export.variants import write_variant
from training.data.cases import TrainingCase, read_cases
from training.data.images import Bytes, read_image
from triage.model.card import WEIGHTS, ModelCard, load_card

ROUNDS = 40


@dataclass(frozen=True)
class Both:
    """Probability of the leading finding, and distance, of n images by either graph."""

    probabilities: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
    distances: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def scored(graphs: Sequence[Path], card: ModelCard, images: Bytes) -> Both:
    spec, column = card.preprocessing.spec(), card.leading.column or 0
    found = [[run_graph(graph, images, spec, name) for graph in graphs] for name in ("probability", "distance")]
    probabilities = [one if one.ndim == 1 else one[:, column] for one in found[0]]
    return Both((probabilities[0], probabilities[1]), (found[1][0], found[1][1]))


def verdict(both: Both, card: ModelCard, cases: Sequence[TrainingCase]) -> list[str]:
    labels = np.array([float(case.label) for case in cases])
    thresholds = [point.threshold for point in card.leading.operating_points]
    said = []
    try:
        said.append(check_variant(*both.probabilities, labels, [case.patient for case in cases], thresholds))
    except ParityError as error:
        said.append(f"refused: {error}")
    try:
        check_refusals(*both.distances, card.distance_limit or np.inf)
        said.append("refusals: as fp32, within 1 %")
    except ParityError as error:
        said.append(f"refused: {error}")
    return said


def speeds(graphs: Sequence[Path], size: int) -> list[float]:
    """Return the median CPU milliseconds of one image by each graph, in turn."""
    image = np.random.default_rng(0).normal(size=(1, 1, size, size)).astype(np.float32)
    sessions = [one_thread_session(graph) for graph in graphs]
    taken: list[list[float]] = [[] for _ in sessions]
    for _ in range(ROUNDS):
        for place, session in enumerate(sessions):
            taken[place].append(cpu_seconds(lambda session=session: session.run(None, {"image": image})))  # type: ignore[misc]
    return [1000 * statistics.median(each[5:]) for each in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--calibrate", type=int, default=128, help="images that give the ranges")
    parser.add_argument("--most", type=int, default=600, help="images that are scored at most")
    chosen = parser.parse_args()
    card = load_card(chosen.model)
    cases = [case for case in read_cases([chosen.manifest]) if case.split == chosen.split]
    order = np.random.default_rng(0).permutation(len(cases))[: chosen.calibrate + chosen.most]
    picked = [cases[place] for place in order]
    images = np.stack([read_image(case, card.preprocessing.spec()) for case in picked])
    with tempfile.TemporaryDirectory() as folder:
        int8 = Path(folder) / "int8.onnx"
        shutil.copy(chosen.model / WEIGHTS, int8)
        write_variant(int8, "int8", images[: chosen.calibrate], card.preprocessing.spec())
        graphs, rest = (chosen.model / WEIGHTS, int8), picked[chosen.calibrate :]
        both = scored(graphs, card, images[chosen.calibrate :])
        moved = np.abs(both.probabilities[1] - both.probabilities[0])
        for line in verdict(both, card, rest):
            print(line)
        print(f"{len(rest)} images; probability moved: median {np.median(moved):.3f}, largest {moved.max():.3f}")
        taken = speeds(graphs, card.preprocessing.size)
        sizes = [graph.stat().st_size / 1e6 for graph in graphs]
        rows = [
            (n, f"{mb:.1f}", f"{ms:.1f}", f"{taken[0] / ms:.2f}")
            for n, mb, ms in zip(("fp32", "int8"), sizes, taken, strict=True)
        ]
        print(table(("graph", "MB", "CPU ms an image", "speed"), rows))


if __name__ == "__main__":
    main()
