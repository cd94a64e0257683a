"""Several processes of one machine train one network, started by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.cohort_images import TINY, write_cohort
from training.config import Config
from training.data.images import load
from training.errors import TrainingError
from training.runs.devices import Process
from training.runs.predict import predict
from training.runs.run import RunSources, RunSpec, TrainingRun, load_network
from training.runs.scores import RunScores
from training.runs.train import train


def test_two_processes_train_one_network_and_share_the_scoring(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 48)
    lines = []
    for table, values in TINY.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    (tmp_path / "tiny.toml").write_text("\n".join(lines))
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "training",
    ]
    command = [
        *torchrun,
        "train",
        str(tmp_path / "tiny.toml"),
        "--manifest",
        str(manifest),
        "-o",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "run"), "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = TrainingRun.open(tmp_path / "run")
    scored = RunScores.read(tmp_path / "run" / "predictions.csv")
    assert set(scored.patients) == set(run.validation_patients)
    here, cases = Process(torch.device("cpu")), {str(case.image): case for case in run.source.cases()}
    images = load([cases[image] for image in scored.images], run.config.input.spec(), run.cache)
    alone = predict([load_network(tmp_path / "run")], images, run.config.input, here)[:, 0]
    assert np.allclose(alone, scored.logits, atol=1e-4)
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(steps) == 3


def test_processes_agree_on_their_mean(tmp_path: Path) -> None:
    script = tmp_path / "mean.py"
    script.write_text(
        "import torch\n"
        "from training.runs.devices import process\n"
        "with process('cpu') as here:\n"
        "    found = here.mean(torch.tensor([here.rank, 3 * here.rank + 1]))\n"
        "    print(f'rank {here.rank} has {found.tolist()}', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
            "PYTHONPATH": str(Path(__file__).parents[3]),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "rank 0 has [0.5, 2.5]" in done.stdout
    assert "rank 1 has [0.5, 2.5]" in done.stdout


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    config = Config.model_validate(TINY).changed({"schedule.batch_size": 7})
    with pytest.raises(TrainingError, match="batch_size 7 cannot be shared by 2 processes"):
        train(
            RunSpec(config, RunSources((write_cohort(tmp_path, 48),)), tmp_path / "run", tmp_path / "cache"), _Alone()
        )


class _Alone(Process):
    """The first of two processes, whose other never starts."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"), 0, 2)

    def wait(self) -> None:
        """Do not wait."""
