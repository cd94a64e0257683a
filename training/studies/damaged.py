"""Costs of damage to the images: of the networks of a cross-validation out of fold, or of an exported model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from training.data.cases import TrainingCase
from training.data.damage import DAMAGES, Damage
from training.data.images import Bytes, radiograph_of, standardise, to_levels
from training.errors import TrainingError
from training.runs.devices import Process
from training.runs.predict import predict
from training.runs.run import TrainingRun, load_network
from training.runs.scores import sigmoid
from training.studies.compare import predictions_of
from training.studies.tables import with_bounds
from triage.model.card import CARD, load_card
from triage.model.session import ModelSession
from triage.radiograph.preprocess import PreprocessSpec, normalise
from triage.statistics.intervals import Bounds, Resampling, percentile_interval, weighted_auc_within

Doubles = npt.NDArray[np.float64]
AS_IT_IS = "as they are"


@dataclass(frozen=True, eq=False)
class Scored:
    """Probabilities (n,) and refusals (n,) of one model under one condition; ``threshold`` calls an image abnormal."""

    probabilities: Doubles
    refused: npt.NDArray[np.bool_]
    threshold: float

    @property
    def called(self) -> npt.NDArray[np.bool_]:
        """Images that are called abnormal."""
        return self.probabilities >= self.threshold


Scorer: TypeAlias = Callable[[Sequence[Bytes]], Scored]
"""From prepared images to their scores, in the order of the cases."""


@dataclass(frozen=True)
class Judge:
    """A model, the images that it may be judged by, and how it sees them."""

    cases: Sequence[TrainingCase]
    spec: PreprocessSpec
    score: Scorer


def judge_of(target: Path, cases: Sequence[TrainingCase], process: Process) -> Judge:
    """Return the judge of a cross-validation's folder, each image by the network that left it out, or of a model's.

    Raises TrainingError where none of the images may be scored.
    """
    if (target / CARD).exists():
        return _exported(target, cases)
    run = TrainingRun.open(target, check_manifests=False)
    folds = {image: fold for fold, image in _held_out(run)}
    kept = [case for case in cases if str(case.image.resolve()) in folds]
    if not kept:
        raise TrainingError(f"{target} held out none of these {len(cases)} images")
    places = np.array([folds[str(case.image.resolve())] for case in kept])

    def score(images: Sequence[Bytes]) -> Scored:
        stored, logits = np.stack(images), np.zeros(len(kept))
        for fold in np.unique(places):
            network = load_network(target / f"fold{fold}").to(process.device)
            logits[places == fold] = predict([network], stored[places == fold], run.config.input, process)[:, 0]
        return Scored(np.asarray(sigmoid(logits)), np.zeros(len(kept), dtype=bool), 0.5)

    return Judge(kept, run.config.input.spec(), score)


def _held_out(run: TrainingRun) -> list[tuple[int, str]]:
    tables = [(path, predictions_of(path)) for path in run.members]
    return [(int(path.name.removeprefix("fold")), image) for path, table in tables for image in table.images]


def _exported(folder: Path, cases: Sequence[TrainingCase]) -> Judge:
    card = load_card(folder)
    session, spec = ModelSession(folder, card, threads=1), card.preprocessing.spec()
    threshold = card.leading.threshold
    limit = np.inf if card.distribution is None else card.distribution.limit

    def score(images: Sequence[Bytes]) -> Scored:
        inputs = [standardise(to_levels(image[None]), spec).numpy() for image in images]
        found = [session.score(one) for one in inputs]
        probabilities = np.array([one.probability[0, card.leading.column or 0] for one in found], dtype=np.float64)
        return Scored(probabilities, np.array([one.distance[0] > limit for one in found]), threshold)

    return Judge(cases, spec, score)


@dataclass(frozen=True)
class Line:
    """Effect of one damage. ``difference`` is that of the AUC within view to the images as they are."""

    name: str
    within: float
    difference: float
    ci95: Bounds
    sensitivity: float
    specificity: float
    changed: float
    refused: float
    moved: float


def lines(judge: Judge, names: Sequence[str] = ()) -> Iterator[Line]:
    """Yield the result of the images as they are, and under each damage. Raises TrainingError for an unreadable one."""
    before = judge.score(_prepared(judge, AS_IT_IS, lambda pixels, _: pixels))
    yield _line(judge, AS_IT_IS, before, before)
    for name in names or DAMAGES:
        yield _line(judge, name, judge.score(_prepared(judge, name, DAMAGES[name])), before)


def _prepared(judge: Judge, name: str, damage: Damage) -> list[Bytes]:
    return [
        _image(case, damage, seed, judge.spec) for seed, case in enumerate(tqdm(judge.cases, desc=name, mininterval=30))
    ]


def _image(case: TrainingCase, damage: Damage, seed: int, spec: PreprocessSpec) -> Bytes:
    radiograph = radiograph_of(case)
    levels = normalise(damage(radiograph.pixels, seed), radiograph.valid, spec)
    return np.asarray(np.rint(levels * 255), dtype=np.uint8)


def _line(judge: Judge, name: str, scored: Scored, before: Scored) -> Line:
    labels = np.array([float(case.label) for case in judge.cases])
    views = [case.view for case in judge.cases]
    figures = [weighted_auc_within(labels, one.probabilities, views) for one in (before, scored)]
    once = np.ones((1, len(labels)))
    rounds = Resampling([case.patient for case in judge.cases]).over(lambda w: figures[1](w) - figures[0](w))
    within, reference = (float(figures[place](once)[0]) for place in (1, 0))
    return Line(
        name=name,
        within=within,
        difference=within - reference,
        ci95=percentile_interval(rounds),
        sensitivity=float(scored.called[labels > 0.5].mean()),
        specificity=float((~scored.called[labels < 0.5]).mean()),
        changed=float((scored.called != before.called).mean()),
        refused=float(scored.refused.mean()),
        moved=float(np.median(np.abs(scored.probabilities - before.probabilities))),
    )


def rows(found: Iterable[Line]) -> Iterator[str]:
    """Yield the lines of a table in Markdown, for docs/results, each as soon as it is known."""
    head = [
        "images",
        "AUC within view",
        "less as they are",
        "sens., spec.",
        "calls changed",
        "median change",
        "refused",
    ]
    yield from _written([head, ["---"] * len(head)])
    for line in found:
        yield from _written([_cells(line)])


def _written(table: Iterable[Sequence[str]]) -> Iterator[str]:
    return (f"| {' | '.join(row)} |" for row in table)


def _cells(line: Line) -> list[str]:
    difference = with_bounds(line.difference, line.ci95, "+")
    return [
        line.name,
        f"{line.within:.3f}",
        "" if line.name == AS_IT_IS else difference,
        f"{line.sensitivity:.2f}, {line.specificity:.2f}",
        "" if line.name == AS_IT_IS else f"{line.changed:.1%}",
        "" if line.name == AS_IT_IS else f"{line.moved:.3f}",
        f"{line.refused:.1%}",
    ]
