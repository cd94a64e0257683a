"""Rows that are never held out, and a teacher's scores: no information on held-out patients comes in by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.cohort_images import TINY, write_cohort
from training.config import Config
from training.data.cases import CaseSplit, read_cases
from training.data.images import load
from training.data.targets import target_matrix
from training.errors import TrainingError
from training.runs import cross_validation
from training.runs.cross_validation import cross_validate
from training.runs.devices import Process
from training.runs.predict import predict
from training.runs.run import RunSources, RunSpec, TrainingRun, load_network
from training.runs.self_training import filled
from training.runs.train import train
from training.runs.training_images import read_images
from triage.validation.cohort.manifest import read_manifest, write_manifest

CPU = Process(torch.device("cpu"))
QUICK = Config.model_validate(TINY).changed({"schedule.epochs": 1, "data.folds": 2})


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_rows_that_are_never_held_out_train_in_every_fold_and_are_never_scored(tmp_path: Path) -> None:
    manifest, more = write_cohort(tmp_path, 16), write_cohort(tmp_path, 16, name="more", split="extra")
    config = QUICK.changed({"data.never_held_out": ("extra",), "schedule.batch_size": 20})
    scored = cross_validate(RunSpec(config, RunSources((manifest, more)), tmp_path / "cv", tmp_path / "cache"), CPU)
    assert {patient.partition(":")[0] for patient in scored.patients} == {"cohort"}
    assert len(scored.images) == 16  # and a batch of 20 needs the 16 extra rows and the 8 of a fold
    assert {name.partition(":")[0] for name in TrainingRun.open(tmp_path / "cv").training_patients} == {
        "cohort",
        "more",
    }


def trained_on(folder: Path) -> list[set[str]]:
    """Patients by whom each fold's network was made, as the spy below saw them."""
    return [set((folder / f"fold{fold}.txt").read_text().split()) for fold in (0, 1)]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Writes down the images of which each fold's network is made."""
    real = cross_validation.train_part

    def spying(config: Config, pool: Any, split: CaseSplit, *more: Any) -> Any:
        (tmp_path / f"fold{split.fold}.txt").write_text("\n".join(case.image.stem for case in split.training))
        return real(config, pool, split, *more)

    monkeypatch.setattr(cross_validation, "train_part", spying)
    return tmp_path


def test_a_patient_who_is_never_held_out_trains_only_in_folds_that_do_not_hold_them_out(spy: Path) -> None:
    manifest = write_cohort(spy, 16)
    more = write_cohort(spy, 4, name="more", split="extra", patient="cohort:3")
    config = QUICK.changed({"data.never_held_out": ("extra",)})
    scored = cross_validate(RunSpec(config, RunSources((manifest, more)), spy / "cv", spy / "cache"), CPU)
    held = dict(zip(scored.patients, scored.folds, strict=True))["cohort:3"]
    with_them, without = trained_on(spy)[1 - held], trained_on(spy)[held]
    extra = {f"more-{number}" for number in range(4)}
    assert extra <= with_them and not extra & without


def test_the_same_picture_in_another_cohort_never_trains_where_it_is_held_out(spy: Path) -> None:
    first = {"picture": "nih:00000001_000"}
    manifest = write_cohort(spy, 16, view="", source="rsna")
    rows = read_manifest(manifest)
    write_manifest(manifest, [replace(rows[0], columns=first), *rows[1:]])  # one picture under two ids
    more = write_cohort(spy, 2, name="more", split="extra", columns=first)
    config = QUICK.changed({"data.never_held_out": ("extra",)})
    scored = cross_validate(RunSpec(config, RunSources((manifest, more)), spy / "cv", spy / "cache"), CPU)
    held = scored.folds[scored.images.index(str(rows[0].image.resolve()))]
    assert not {"more-0", "more-1"} & trained_on(spy)[held]
    assert {"more-0", "more-1"} <= trained_on(spy)[1 - held]


def test_rows_of_one_cohort_that_are_one_picture_are_kept_apart_across_folds(spy: Path) -> None:
    manifest = write_cohort(spy, 16)
    rows = [replace(row, fold=number // 4 % 2) for number, row in enumerate(read_manifest(manifest))]
    twins = {0: {"picture": "nih:1"}, 4: {"picture": "nih:1"}}  # of two patients, in fold 0 and in fold 1
    write_manifest(manifest, [replace(row, columns=twins.get(number, {})) for number, row in enumerate(rows)])
    config = QUICK.changed({"schedule.batch_size": 4})
    cross_validate(RunSpec(config, RunSources((manifest,)), spy / "cv", spy / "cache"), CPU)
    assert trained_on(spy) == [
        {f"cohort-{number}" for number in range(16) if number // 4 % 2 == 1 and number != 4},
        {f"cohort-{number}" for number in range(16) if number // 4 % 2 == 0 and number != 0},
    ]


def test_a_fold_is_taught_by_the_network_that_did_not_see_it(tmp_path: Path) -> None:
    manifest, more = write_cohort(tmp_path, 32), write_cohort(tmp_path, 6, name="more", split="extra")
    cross_validate(RunSpec(QUICK, RunSources((manifest,)), tmp_path / "cv", tmp_path / "cache"), CPU)
    taught = QUICK.changed({"targets.abnormal.source": "cohort", "targets.abnormal.teacher": f"run:{tmp_path / 'cv'}"})
    cases = read_cases([more, manifest])
    images = load(cases, taught.input.spec(), tmp_path / "cache")
    known = target_matrix(cases, taught.targets)
    found = [filled(known, images, taught, CaseSplit((), [], fold), CPU) for fold in (0, 1)]
    for fold, one in enumerate(found):
        logits = predict([load_network(tmp_path / "cv" / f"fold{fold}")], images[:6], taught.input, CPU)
        assert np.allclose(one[:6], 1 / (1 + np.exp(-logits)), atol=1e-6)
        assert np.array_equal(one[6:], known[6:])
    assert not np.allclose(found[0][:6], found[1][:6])
    left_out = [case for case in cases if case.patient in patients_of(tmp_path / "cv" / "fold0")]
    filled(known, images, taught, CaseSplit((), left_out, 0), CPU)
    with pytest.raises(TrainingError, match=r"its patient was trained on by the teacher .*fold1"):
        filled(known, images, taught, CaseSplit((), left_out, 1), CPU)


def test_several_teachers_teach_the_mean_of_their_logits(tmp_path: Path) -> None:
    manifest, more = write_cohort(tmp_path, 32), write_cohort(tmp_path, 6, name="more", split="extra")
    for seed in (0, 1):  # not alike, and of the same folds
        config = QUICK.changed({"schedule.epochs": 1 + seed})
        cross_validate(RunSpec(config, RunSources((manifest,)), tmp_path / f"cv{seed}", tmp_path / "cache"), CPU)
    teachers = [f"run:{tmp_path / f'cv{seed}'}" for seed in (0, 1)]
    taught = QUICK.changed({"targets.abnormal.source": "cohort", "targets.abnormal.teacher": teachers})
    cases = read_cases([more])
    images = load(cases, taught.input.spec(), tmp_path / "cache")
    found = filled(target_matrix(cases, taught.targets), images, taught, CaseSplit((), [], 0), CPU)[:, 0]
    networks = [load_network(tmp_path / f"cv{seed}" / "fold0") for seed in (0, 1)]
    logits = np.mean([predict([network], images, taught.input, CPU)[:, 0] for network in networks], axis=0)
    assert np.allclose(found, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_without_folds_all_networks_of_a_cross_validation_teach_and_their_images_count(tmp_path: Path) -> None:
    manifest, more = write_cohort(tmp_path, 32), write_cohort(tmp_path, 8, name="more", split="extra")
    cross_validate(RunSpec(QUICK, RunSources((manifest,)), tmp_path / "cv", tmp_path / "cache"), CPU)
    taught = QUICK.changed(
        {
            "targets.abnormal.source": "cohort",
            "targets.abnormal.teacher": f"run:{tmp_path / 'cv'}",
            "data.never_held_out": ("extra",),
            "data.carve": 0,
        }
    )
    small = write_cohort(tmp_path, 16, name="small", source="cohort")
    train(RunSpec(taught, RunSources((small, more)), tmp_path / "student", tmp_path / "cache"), CPU)
    cases = read_cases([more])
    images = load(cases, taught.input.spec(), tmp_path / "cache")
    found = filled(target_matrix(cases, taught.targets), images, taught, CaseSplit((), [], -1), CPU)[:, 0]
    networks = [load_network(tmp_path / "cv" / f"fold{fold}") for fold in (0, 1)]
    assert np.allclose(found, 1 / (1 + np.exp(-predict(networks, images, taught.input, CPU)[:, 0])), atol=1e-6)
    assert set(read_images(tmp_path / "cv")) < set(read_images(tmp_path / "student"))
    assert {"cohort:0", "small:0", "more:0"} <= set(TrainingRun.open(tmp_path / "student").learnt_from)


def test_a_cross_validation_is_taught_fold_by_fold(tmp_path: Path) -> None:
    manifest, more = write_cohort(tmp_path, 32), write_cohort(tmp_path, 8, name="more", split="extra")
    cross_validate(RunSpec(QUICK, RunSources((manifest,)), tmp_path / "cv", tmp_path / "cache"), CPU)
    changes = {"targets.abnormal.source": "cohort", "targets.abnormal.teacher": f"run:{tmp_path / 'cv'}"}
    config = QUICK.changed({**changes, "data.never_held_out": ("extra",)})
    source = RunSources((manifest, more))
    assert len(cross_validate(RunSpec(config, source, tmp_path / "taught", tmp_path / "cache"), CPU).images) == 32
    other_folds = config.changed({"runtime.seed": 99})
    with pytest.raises(TrainingError, match="was trained on by the teacher"):
        cross_validate(RunSpec(other_folds, source, tmp_path / "other", tmp_path / "cache"), CPU)


def patients_of(fold: Path) -> set[str]:
    """Whom a fold held out."""
    lines = (fold / "predictions.csv").read_text().splitlines()[1:]
    return {line.split(",")[1] for line in lines}
