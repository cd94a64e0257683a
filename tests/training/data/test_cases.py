"""Manifests, targets and decoded images: what is wrong is found and named before anything is trained."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from tests.support.cohort_images import write_cohort
from training import files
from training.config import BalanceConfig, DataConfig, TargetConfig
from training.data.cases import read_cases, split_cases
from training.data.folds import assign_folds
from training.data.images import load, read_image
from training.data.targets import balanced, check_learnable, target_matrix, weight_matrix
from training.errors import TrainingError
from training.networks.build import build
from training.runs import devices
from training.runs.devices import Process, check_memory
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.radiograph.decode import decode_picture
from triage.radiograph.preprocess import PreprocessSpec, preprocess
from triage.radiograph.types import Radiograph

SPEC = PreprocessSpec(size=32)


def test_patients_are_told_apart_by_cohort(tmp_path: Path) -> None:
    first, second = (write_cohort(tmp_path, 4, name=name, patient="7") for name in ("a", "b"))
    assert {case.patient for case in read_cases([first, second])} == {"a:7", "b:7"}
    assert read_cases([first], without=frozenset(["7"])) == []


def test_a_wrong_row_is_named(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 4)
    text = manifest.read_text()
    manifest.write_text(text.replace("cohort-2.png,1", "cohort-2.png,2"))
    with pytest.raises(TrainingError, match="line 4: label '2' is not 0 or 1"):
        read_cases([manifest])
    manifest.write_text(text)
    (tmp_path / "images" / "cohort-3.png").unlink()
    with pytest.raises(TrainingError, match="line 5: no file"):
        read_cases([manifest])


def test_one_image_in_two_manifests_is_an_error(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 4)
    (tmp_path / "again.csv").write_text(manifest.read_text())
    with pytest.raises(TrainingError, match=r"again\.csv, line 2: the image is in .*cohort\.csv, line 2"):
        read_cases([manifest, tmp_path / "again.csv"])


def test_an_unreadable_image_is_named_and_nothing_is_cached(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 6)
    broken = tmp_path / "images" / "cohort-3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(TrainingError, match=r"cohort\.csv, line 5: .*a chunk of the PNG is damaged"):
        load(read_cases([manifest]), SPEC, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_cached_images_are_the_services_own_and_are_read_again_when_a_file_changes(tmp_path: Path) -> None:
    cases = read_cases([write_cohort(tmp_path, 6)])
    stored = load(cases, SPEC, tmp_path / "cache")
    radiograph = decode_picture(cases[4].image.read_bytes())
    assert isinstance(radiograph, Radiograph)
    seen = preprocess(radiograph.pixels, radiograph.valid, SPEC)[0] * SPEC.deviation + SPEC.mean
    assert np.abs(stored[4] / 255 - seen).max() <= 0.5 / 255 + 1e-6
    assert not stored.flags.writeable
    other = cases[0].image.read_bytes()
    cases[4].image.write_bytes(other)
    os.utime(cases[4].image, (1, 1))
    assert np.array_equal(load(cases, SPEC, tmp_path / "cache")[4], stored[0])
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_dicom_file_is_decoded_as_the_service_does(tmp_path: Path) -> None:
    case = read_cases([write_cohort(tmp_path, 2)])[0]
    path = tmp_path / "chest.dcm"
    path.write_bytes(as_dicom(draw(1, rows=96, columns=96), PhantomSubject()))
    assert read_image(replace(case, image=path), SPEC).std() > 10


def test_too_little_disk_is_an_error_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage(1, 1, 0))
    with pytest.raises(TrainingError, match="GB of disk"):
        load(read_cases([write_cohort(tmp_path, 4)]), SPEC, tmp_path / "cache")


def test_what_a_killed_process_left_half_written_is_removed_and_nobody_elses(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    abandoned, other, own = (tmp_path / name for name in (f"a.npy.{gone.pid}.part", "person.part", "kept.npy"))
    for path in (abandoned, other, own, files.part_of(tmp_path / "b.npy")):
        path.write_bytes(b"half")
    load(read_cases([write_cohort(tmp_path / "cohort", 4)]), SPEC, tmp_path)
    assert not abandoned.exists()
    assert other.exists() and own.exists() and files.part_of(tmp_path / "b.npy").exists()


def test_too_little_memory_is_an_error_before_the_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    network, here = build("resnet18-w4", 1), Process(torch.device("cpu"))
    check_memory(network, 32, 40, 8, here)
    free = namedtuple("free", "available")
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: free(1 << 20))
    with pytest.raises(TrainingError, match=r"a step of 8 images at 32 px needs about .* lower schedule\.batch_size"):
        check_memory(network, 32, 40, 8, here)
    assert psutil.virtual_memory().available == 1 << 20


def test_validation_is_carved_by_patient_unless_the_manifest_has_one(tmp_path: Path) -> None:
    cases = read_cases([write_cohort(tmp_path, 48)])
    training, validation = split_cases(cases, DataConfig(carve=4))
    assert training and validation
    assert not {case.patient for case in training} & {case.patient for case in validation}
    own = [replace(case, split="val") if number < 8 else case for number, case in enumerate(cases)]
    assert len(split_cases(own, DataConfig())[1]) == 8
    with pytest.raises(TrainingError, match="its patient is in training too"):
        split_cases([replace(cases[0], split="val"), *cases[1:]], DataConfig())
    with pytest.raises(TrainingError, match=r"no row is in a split of \['fit'\]; there are 'train'"):
        split_cases(cases, DataConfig(train=("fit",)))


def test_targets_come_from_columns(tmp_path: Path) -> None:
    cases = read_cases([write_cohort(tmp_path, 4), write_cohort(tmp_path, 2, name="other")])
    targets = {
        "abnormal": TargetConfig(source="cohort"),
        "mass": TargetConfig(column="findings", contains="Mass"),
        "male": TargetConfig(column="sex", equals=("M",)),
        "age": TargetConfig(column="age", kind="number", mean=20, deviation=2),
        "absent": TargetConfig(column="nothing"),
        "partly": TargetConfig(column="sex", equals=("M",), unknown=("F",)),
    }
    found = target_matrix(cases, targets)
    assert found[:, 0].tolist()[:4] == [0, 0, 1, 1] and np.isnan(found[4:, 0]).all()
    assert found[:4, 1].tolist() == [0, 0, 1, 1]
    assert found[:2, 2].tolist() == [0, 1]
    assert np.isnan(found[0, 5]) and found[1, 5] == 1
    assert found[:3, 3].tolist() == [0, 0.5, 1]
    with pytest.raises(TrainingError, match="the target absent is known for none of 6"):
        check_learnable(cases, found, targets)
    with pytest.raises(TrainingError, match="the target mass is 0 in all of 2"):
        check_learnable(cases[:2], found[:2, 1:2], {"mass": targets["mass"]})
    with pytest.raises(TrainingError, match=r"line 2: findings 'No Finding' is no number"):
        target_matrix(cases, {"bad": TargetConfig(column="findings")})
    with pytest.raises(TrainingError, match=r"line 2: age '20' is neither 0 nor 1"):
        target_matrix(cases, {"bad": TargetConfig(column="age")})


def test_weights_take_the_view_out_of_the_label() -> None:
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 1, np.nan], dtype=np.float32)
    views = ["AP"] * 4 + ["PA"] * 4 + ["PA"]
    weights = balanced(labels, views)
    known = ~np.isnan(labels)
    assert weights[known].mean() == pytest.approx(1)
    for view in ("AP", "PA"):
        inside = np.array([name == view for name in views])
        assert weights[inside & (labels == 1)].sum() == pytest.approx(weights[inside & (labels == 0)].sum())
    assert balanced(np.array([1.0, 1.0, 0.0], dtype=np.float32), ["AP", "PA", "PA"])[0] == pytest.approx(1)


def test_shares_and_rare_positives_weigh(tmp_path: Path) -> None:
    cases = read_cases([write_cohort(tmp_path, 4)])
    targets = {"a": TargetConfig(), "b": TargetConfig(share=0.5, positive=3.0)}
    matrix = target_matrix(cases, targets)
    weights = weight_matrix(cases, matrix, targets, BalanceConfig())
    assert weights[:, 0].tolist() == [1, 1, 1, 1]
    assert weights[:, 1].tolist() == [0.5, 0.5, 1.5, 1.5]


def test_folds_are_of_whole_patients_and_alike(tmp_path: Path) -> None:
    cases = read_cases([write_cohort(tmp_path, 84)])
    folds = assign_folds(cases, 7, seed=0)
    by_patient = {(case.patient, fold) for case, fold in zip(cases, folds, strict=True)}
    assert len(by_patient) == 42
    for fold in range(7):
        labels = [case.label for case, found in zip(cases, folds, strict=True) if found == fold]
        assert 4 <= sum(labels) <= 8
    assert np.array_equal(folds, assign_folds(cases, 7, seed=0))
    with pytest.raises(TrainingError, match="42 patients are too few for 50 folds"):
        assign_folds(cases, 50, seed=0)


def test_the_manifests_own_folds_are_kept(tmp_path: Path) -> None:
    cases = [replace(case, fold=number // 4) for number, case in enumerate(read_cases([write_cohort(tmp_path, 12)]))]
    assert assign_folds(cases, 7, seed=0).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    with pytest.raises(TrainingError, match="its patient is in fold"):
        assign_folds([replace(cases[0], fold=2), *cases[1:]], 7, seed=0)


def test_all_broken_images_are_named_in_one_run(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 8)
    cases = read_cases([manifest])
    for number in (1, 4, 6):
        image = tmp_path / "images" / f"cohort-{number}.png"
        image.write_bytes(image.read_bytes()[:-40])
    with pytest.raises(TrainingError, match="3 images cannot be read") as raised:
        load(cases, SPEC, tmp_path / "cache")
    assert [f"cohort-{number}.png" in str(raised.value) for number in range(8)] == [
        number in (1, 4, 6) for number in range(8)
    ]
    assert not list((tmp_path / "cache").glob("*.npy"))
    for number in (2, 3):
        (tmp_path / "images" / f"cohort-{number}.png").unlink()
    with pytest.raises(TrainingError, match="2 images cannot be read"):
        load(cases, SPEC, tmp_path / "cache")


def test_one_image_on_both_sides_or_under_two_labels_is_an_error_whatever_its_name(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path, 8)
    other = write_cohort(tmp_path, 8, name="held", split="val")
    read_cases([manifest, other])
    images = tmp_path / "images"
    (images / "held-5.png").write_bytes((images / "cohort-0.png").read_bytes())
    cases = read_cases([manifest, other])
    with pytest.raises(TrainingError, match=r"1 pairs of files with the same bytes are in training and held out"):
        split_cases(cases, DataConfig())
    (images / "cohort-3.png").write_bytes((images / "cohort-0.png").read_bytes())
    with pytest.raises(TrainingError, match=r"under two labels: .*line 2 and .*line 5"):
        read_cases([manifest])
