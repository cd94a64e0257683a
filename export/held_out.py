"""Choice of the networks of a run that ship, and of the patients by whom their scores are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.config import Config
from training.data.cases import TrainingCase
from training.data.images import Bytes, load
from training.data.targets import target_matrix
from training.errors import TrainingError
from training.runs.cross_validation import folds_of
from training.runs.devices import Process
from training.runs.run import RunSources, TrainingRun
from training.runs.scores import PREDICTIONS, RunScores, figures
from training.runs.train import score_cases
from training.runs.weight_averaging import averaged_seeds
from triage.model.distribution import COMPONENTS

BEST = "best"

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class HeldOutScores:
    """Scores of images whose patients were not trained on, and the rows of the same images.

    ``approximate`` is the reason why they are not exactly the shipped model on unseen patients; empty where they are.
    """

    scored: RunScores
    cases: list[TrainingCase]
    how: str
    approximate: str = ""


@dataclass(frozen=True)
class Members:
    """The folders of the networks that ship, and how they were chosen."""

    folders: tuple[Path, ...]
    chosen: str


def choose_members(run: TrainingRun, wanted: str | None) -> Members:
    """Return all networks of a run, or one fold's: ``wanted`` is its number, or ``best``. Raises TrainingError.

    The best fold has the lowest cross-entropy on the patients it did not see; no test set is scored.
    """
    if wanted is None:
        count = len(run.members)
        return Members(tuple(run.members), "the run's only network" if count == 1 else f"all {count} folds, averaged")
    if run.kind != "cross-validate":
        raise TrainingError(f"{run.folder} has one network only: --member is for cross-validation")
    if wanted == BEST:
        losses = {folder: figures(RunScores.read(folder / PREDICTIONS))["loss"] for folder in run.members}
        best = min(losses, key=lambda folder: losses[folder])
        return Members((best,), f"{best.name}: the lowest cross-entropy out of fold among {len(losses)}; no test set")
    folder = run.folder / f"fold{wanted}"
    if folder not in run.members:
        raise TrainingError(f"{run.folder} has no finished fold {wanted!r}")
    return Members((folder,), f"{folder.name}, as asked")


def judge(
    run: TrainingRun, members: Members, process: Process, apart: Path | None, splits: Sequence[str]
) -> HeldOutScores:
    """Return the scores for thresholds, calibration and figures. Raises TrainingError.

    ``apart`` is a manifest of patients that the run has not seen; without it, the run's held-out patients are taken.
    """
    if apart is not None:
        cases = apart_cases(run, apart, splits)
        scored = score_cases(run, members.folders, cases, process)
        return HeldOutScores(scored, _cases_of(scored, cases), "patients of a set apart")
    scored = RunScores.read(run.folder / PREDICTIONS) if len(members.folders) > 1 else _of_one(members.folders[0])
    cases = _cases_of(scored, run.source.cases())
    if len(members.folders) > 1:
        how = "each image scored by the one network that did not see its patient"
        return HeldOutScores(
            scored,
            cases,
            how,
            "what ships is the mean of all networks, and every patient here is in the training of some of them",
        )
    return HeldOutScores(scored, cases, "patients that the network did not see", _reason_not_exact(run.config))


def judge_by(run: TrainingRun, folds: TrainingRun) -> HeldOutScores:
    """Return out-of-fold scores of ``folds``, for a ``run`` that trained by the same recipe on all its patients.

    The cross-validation measures the recipe; no patient is left to judge the one network that ships. Raises
    TrainingError where the two runs are not of one recipe and one set of patients.
    """
    if folds.kind != "cross-validate":
        raise TrainingError(f"{folds.folder} is not a cross-validation: give --judge-by the one of the same recipe")
    if folds.config.changed({"data.carve": run.config.data.carve}) != run.config:
        raise TrainingError(f"{folds.folder} and {run.folder} are of different configurations")
    if set(run.training_patients) != set(folds.training_patients):
        raise TrainingError(f"{folds.folder} and {run.folder} were not trained on the same patients")
    if averaged_seeds(run) != averaged_seeds(folds):
        raise TrainingError(f"{folds.folder} and {run.folder} are not means over the same seeds")
    scored = RunScores.read(folds.folder / PREDICTIONS)
    if lacking := sorted(folds_of(folds.source, folds.config) - set(scored.folds)):
        raise TrainingError(f"{folds.folder} lacks fold {lacking[0]}: train it too, the recipe is judged by all folds")
    how = "each image scored by a network of the same recipe that did not see its patient"
    approximate = "what ships is one network that was trained on all of these patients"
    return HeldOutScores(scored, _cases_of(scored, folds.source.cases()), how, approximate)


def _cases_of(scored: RunScores, cases: Sequence[TrainingCase]) -> list[TrainingCase]:
    """Return the rows of scored images, in their order."""
    by_image = {case.image.resolve(): case for case in cases}
    return [by_image[Path(image).resolve()] for image in scored.images]


def _of_one(folder: Path) -> RunScores:
    path = folder / PREDICTIONS
    if not path.exists():
        raise TrainingError(f"{folder} held out no patient: give patients that it has not seen with --calibrate-on")
    return RunScores.read(path)


def _reason_not_exact(config: Config) -> str:
    schedule = config.schedule
    if schedule.choose == "best" or schedule.stop_after or schedule.shape == "plateau":
        return "the same patients chose the weights or the learning rate"
    return ""


def apart_cases(run: TrainingRun, manifest: Path, splits: Sequence[str]) -> list[TrainingCase]:
    """Return rows of a manifest. Raises TrainingError for a patient that the run has seen."""
    cases = [case for case in RunSources((manifest,)).cases() if not splits or case.split in splits]
    if not cases:
        raise TrainingError(f"{manifest} has no row in {list(splits)}")
    for case in cases:
        if case.patient in run.seen:
            raise TrainingError(f"{case.origin}: its patient is in training too, and can calibrate nothing")
    return cases


@dataclass(frozen=True, eq=False)
class Chests:
    """Images of chests for the distance: rows, cached images (n, s, s), and labels (n,).

    The first ``own`` are rows of the run; the labels of the others may be of another definition.
    """

    cases: list[TrainingCase]
    images: Bytes
    labels: Floats
    own: int


def chests_of(run: TrainingRun, more: Sequence[Path]) -> Chests:
    """Return the run's rows with a known first target, and all of ``more``. Raises TrainingError for too few."""
    seen = {*run.training_patients, *run.validation_patients}
    cases = [case for case in run.source.cases() if case.patient in seen]
    labels = target_matrix(cases, run.config.targets)[:, 0]
    known = [case for case, label in zip(cases, labels, strict=True) if not np.isnan(label)]
    images, own = {case.image.resolve() for case in known}, len(known)
    known += [case for case in RunSources(tuple(more)).cases() if case.image.resolve() not in images] if more else []
    if len(known) * 4 // 5 <= COMPONENTS:
        raise TrainingError(f"{len(known)} images are too few for the distance of chests: give more with --chests")
    stored = load(known, run.config.input.spec(), run.cache)
    return Chests(known, stored, target_matrix(known, run.config.targets)[:, 0], own)
