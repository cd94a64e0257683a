"""Unknown targets filled with the scores, between 0 and 1, of teachers: networks of earlier runs.

One teacher is self-training; several, whose logits are averaged, are distilled into one network (Hinton et al. 2015).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.config import Config
from training.data.cases import CaseSplit
from training.data.images import Bytes
from training.errors import TrainingError
from training.runs.devices import Process
from training.runs.predict import predict
from training.runs.run import EARLIER, TrainingRun, load_network
from training.runs.scores import PREDICTIONS, RunScores

Floats = npt.NDArray[np.float32]


def filled(targets: Floats, images: Bytes, config: Config, split: CaseSplit, process: Process) -> Floats:
    """Return ``targets`` (n, outputs) of ``images`` (n, s, s), unknown ones that have teachers filled by their score.

    In a fold of a cross-validation a teacher is that fold's network of its own cross-validation; without folds it is
    the mean of all of them. Raises TrainingError where a teacher trained on a patient that is held out here: its scores
    would carry information on the patients by whom this network is judged.
    """
    result = targets.copy()
    for column, target in enumerate(config.targets.values()):
        unknown = np.flatnonzero(np.isnan(targets[:, column]))
        if target.teacher and len(unknown):
            folders = [folder for teacher in target.teacher for folder in _networks_of(teacher, split)]
            networks = [load_network(folder).to(process.device) for folder in folders]
            logits = predict(networks, images[unknown], config.input, process)[:, 0]
            result[unknown, column] = 1 / (1 + np.exp(-logits))
    return result


def _networks_of(teacher: str, split: CaseSplit) -> list[Path]:
    run = TrainingRun.open(Path(teacher.removeprefix(EARLIER)), check_manifests=False)
    folders, seen = run.members, run.seen
    if run.kind == "cross-validate" and split.fold >= 0:
        folders = [run.folder / f"fold{split.fold}"]
        left_out = frozenset(RunScores.read(folders[0] / PREDICTIONS).patients)
        seen = frozenset(run.pretraining_patients) | (frozenset(run.training_patients) - left_out)
    for case in split.held_out:
        if case.patient in seen:
            raise TrainingError(f"{case.origin}: its patient was trained on by the teacher {folders[0]}")
    return folders
