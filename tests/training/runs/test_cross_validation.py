"""Cross-validation: no patient is scored by a network that trained on them, and folds are not trained twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.support.cohort_images import TINY, write_cohort
from training.cli import main
from training.config import Config
from training.errors import TrainingError
from training.runs.cross_validation import cross_validate
from training.runs.devices import Process
from training.runs.run import RECORD, WEIGHTS, RunSources, RunSpec, TrainingRun, load_network
from training.runs.scores import PREDICTIONS, RunScores, figures
from training.runs.test_set_looks import TestSet, look, looks_at
from triage.validation.cohort.manifest import read_manifest, write_manifest

CPU = Process(torch.device("cpu"))
QUICK = Config.model_validate(TINY).changed({"schedule.epochs": 1})


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def run_folds(folder: Path, manifest: Path, only: tuple[int, ...] = ()) -> RunScores:
    return cross_validate(RunSpec(QUICK, RunSources((manifest,)), folder / "cv", folder / "cache"), CPU, only)


def test_every_row_is_scored_once_by_the_fold_that_left_its_patient_out(tmp_path: Path) -> None:
    scored = run_folds(tmp_path, write_cohort(tmp_path, 48))
    assert len(scored.images) == len(set(scored.images)) == 48
    assert len({(patient, fold) for patient, fold in zip(scored.patients, scored.folds, strict=True)}) == 24
    written = RunScores.read(tmp_path / "cv" / PREDICTIONS)
    assert written.images == scored.images
    metrics = json.loads((tmp_path / "cv" / "metrics.json").read_text())
    losses = [figures(scored.where([fold == n for fold in scored.folds]))["loss"] for n in range(3)]
    assert metrics["folds"]["mean"]["loss"] == pytest.approx(np.mean(losses))
    assert metrics["folds"]["sd"]["loss"] == pytest.approx(np.std(losses, ddof=1))
    assert metrics["all"]["auc_ci95"][0] <= metrics["all"]["auc"] <= metrics["all"]["auc_ci95"][1]
    assert metrics["auc_of_ap_alone"] == pytest.approx(0.5, abs=0.2)


def test_finished_folds_are_not_trained_again_and_missing_ones_are(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 48)
    run_folds(tmp_path, manifest, (1,))
    first = (tmp_path / "cv" / "fold1" / WEIGHTS).stat().st_mtime_ns
    assert not (tmp_path / "cv" / "fold0").exists()
    run_folds(tmp_path, manifest, (2,))
    assert set(RunScores.read(tmp_path / "cv" / PREDICTIONS).folds) == {1, 2}
    scored = run_folds(tmp_path, manifest, (0,))
    assert (tmp_path / "cv" / "fold1" / WEIGHTS).stat().st_mtime_ns == first
    assert list(dict.fromkeys(scored.folds)) == [0, 1, 2] and len(set(scored.images)) == 48
    assert json.loads((tmp_path / "cv" / "metrics.json").read_text())["folds"].keys() == {"mean", "sd", "each"}
    with pytest.raises(TrainingError, match=r"there is no fold 7; there are \[0, 1, 2\]"):
        run_folds(tmp_path, manifest, (7,))


def test_a_test_set_is_scored_by_the_mean_of_the_folds_and_looks_are_counted(tmp_path: Path) -> None:
    run_folds(tmp_path, write_cohort(tmp_path, 48))
    test = write_cohort(tmp_path, 12, name="held-out", split="test")
    rows = read_manifest(test)
    write_manifest(test, [replace(row, columns={"picture": f"nih:{row.image.stem}"}) for row in rows[:8]] + rows[8:])
    run = TrainingRun.open(tmp_path / "cv")
    with pytest.raises(TrainingError, match=r"say --look-at-test .looked at 0 times"):
        look(run, TestSet(test), CPU, allowed=False)
    scored = look(run, TestSet(test, ("test",)), CPU, allowed=True)
    assert [entry["images"] for entry in looks_at(run.folder)] == ["12"]
    by_picture = (run.folder / "test-held-out-test-outputs.csv").read_text().splitlines()
    assert by_picture[1].startswith("nih:held-out-0,-1,") and len(by_picture) == 9
    look(run, TestSet(test, ("test",)), CPU, allowed=True)
    assert json.loads((run.folder / "test-held-out-test.json").read_text())["looks"] == 2
    each = []
    for member in run.members:
        alone = look(run, TestSet(test), CPU, allowed=True, members=[member])
        assert load_network(member).pooled
        each.append(alone.logits)
    assert np.allclose(np.mean(each, 0), scored.logits, atol=1e-5)


def test_patients_of_the_training_are_no_test(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 48)
    run_folds(tmp_path, manifest)
    with pytest.raises(TrainingError, match=r"line 2: its patient was trained on"):
        look(TrainingRun.open(tmp_path / "cv"), TestSet(manifest), CPU, allowed=True)
    assert looks_at(tmp_path / "cv") == []


def test_patients_of_the_run_that_it_started_from_are_neither_test_nor_held_out(tmp_path: Path) -> None:
    manifest, other = write_cohort(tmp_path, 48), write_cohort(tmp_path, 48, name="other")
    run_folds(tmp_path, manifest, (0,))
    earlier = f"run:{tmp_path / 'cv' / 'fold0'}"
    later = QUICK.changed({"model.weights": earlier})
    with pytest.raises(TrainingError, match="its patient was trained on in run:"):
        cross_validate(RunSpec(later, RunSources((manifest,)), tmp_path / "same", tmp_path / "cache"), CPU, (0,))
    cross_validate(RunSpec(later, RunSources((other,)), tmp_path / "later", tmp_path / "cache"), CPU, (0,))
    run = TrainingRun.open(tmp_path / "later")
    assert {patient.partition(":")[0] for patient in run.learnt_from} == {"cohort", "other"}
    with pytest.raises(TrainingError, match="its patient was trained on"):
        look(run, TestSet(manifest), CPU, allowed=True)


def test_another_cohorts_label_is_the_truth_of_a_test(tmp_path: Path) -> None:
    manifest, other = write_cohort(tmp_path, 48), write_cohort(tmp_path, 8, name="other")
    config = QUICK.changed({"targets": {"abnormal": {"source": "cohort"}}})
    cross_validate(RunSpec(config, RunSources((manifest,)), tmp_path / "cv", tmp_path / "cache"), CPU, (0,))
    assert len(look(TrainingRun.open(tmp_path / "cv"), TestSet(other), CPU, allowed=True).images) == 8


def test_a_manifest_that_changed_is_noticed(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 48)
    run_folds(tmp_path, manifest, (0,))
    manifest.write_text(manifest.read_text().replace(",F,", ",M,"))
    with pytest.raises(TrainingError, match="has changed since the run"):
        TrainingRun.open(tmp_path / "cv")
    with pytest.raises(TrainingError, match="another source"):
        run_folds(tmp_path, manifest)


def test_the_command_cross_validates_and_looks_only_when_told(tmp_path: Path) -> None:
    manifest, test = write_cohort(tmp_path, 48), write_cohort(tmp_path, 8, name="held-out", split="test")
    lines = [f"[{table}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
             for table, values in TINY.items()]  # fmt: skip
    (tmp_path / "tiny.toml").write_text("\n".join(lines))
    out = str(tmp_path / "cv")
    command = ["cross-validate", str(tmp_path / "tiny.toml"), "--manifest", str(manifest), "-o", out]
    command += ["--set", "schedule.epochs=1", "--set", "data.folds=2", "--test", str(test)]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1 and "--look-at-test" in refused.output
    looked = CliRunner().invoke(main, [*command, "--look-at-test"])
    assert looked.exit_code == 0, looked.output
    again = CliRunner().invoke(main, ["score", out, "--manifest", str(test), "--look-at-test", "--device", "cpu"])
    assert again.exit_code == 0
    assert len(looks_at(tmp_path / "cv")) == 2
    assert json.loads((tmp_path / "cv" / RECORD).read_text())["config"]["data"]["folds"] == 2
