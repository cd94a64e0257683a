"""The view classifier trains from the same tool. On phantoms only: nothing is claimed for real radiographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from training.config import load_config
from training.runs.devices import Process
from training.runs.run import RunSources, RunSpec
from training.runs.scores import figures
from training.runs.train import train
from triage.phantom.chest import draw, draw_lateral
from triage.validation.cohort.manifest import Row, write_manifest

PATIENTS = 24


def test_frontal_and_lateral_phantoms_are_told_apart(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    rows = []
    for number in range(PATIENTS):
        views = {"PA": draw(number, rows=96, columns=96), "LATERAL": draw_lateral(number, rows=96, columns=96)}
        for view, pixels in views.items():
            path = tmp_path / f"{number}-{view}.png"
            cv2.imwrite(str(path), np.asarray(pixels * 16, dtype=np.uint16))
            split = "val" if number % 4 == 0 else "train"
            rows.append(Row(path, int(view == "LATERAL"), f"phantom:{number}", split=split, view=view))
    write_manifest(tmp_path / "views.csv", rows)
    small = ["model.architecture=resnet18-w4", "schedule.batch_size=12", "schedule.epochs=6", "schedule.averaging=0.8"]
    config = load_config("view", small)
    scored = train(
        RunSpec(config, RunSources((tmp_path / "views.csv",)), tmp_path / "run", tmp_path / "cache"),
        Process(torch.device("cpu")),
    )
    assert scored is not None
    assert figures(scored)["auc"] == 1.0
