"""Release of a run as a model folder: outputs of the graph, content of the card, and refusals of the gates."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from export.calibrate import apply, brier, fit_curve, threshold_for
from export.card_fields import public_patients
from export.cli import main
from export.graph import Shipped
from export.parity import ParityError, check_parity, check_variant
from tests.support.cohort_images import TINY, write_cohort
from training.config import Config, InputConfig
from training.networks.build import build
from training.runs.cross_validation import cross_validate
from training.runs.devices import Process
from training.runs.run import RunSources, RunSpec, TrainingRun
from training.runs.scores import RunScores
from training.runs.test_set_looks import looks_at
from training.runs.train import train
from triage.model.card import CARD as CARD_FILE
from triage.model.card import WEIGHTS, load_card
from triage.model.distribution import fit
from triage.model.onnx_runtime import onnxruntime
from triage.model.session import ModelSession
from triage.radiograph.preprocess import PreprocessSpec
from triage.statistics.intervals import auc_within

CPU = Process(torch.device("cpu"))

CARD = """
version = "1"
limits = ["for tests"]

[[findings]]
target = "abnormal"
name = "patch"
title = "patch"
positive_class = "a patch"
negative_class = "none"
negative_means = "absent"

[abnormal]
negative_is_normal = true

[intended_use]
modalities = ["CR"]
views = ["PA", "AP"]
age_from = 18.0
age_below = 130.0

[licence]
weights = "for tests only"
commercial = false
because = "they learnt from drawings"

[training]
data = ["drawn images"]
recipe = "tests"

[export]
validation = "drawn"
reference = "as drawn"
target_sensitivity = 0.5
test = "drawn test"
"""


@dataclass(frozen=True)
class Trained:
    folder: Path
    cohort: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of one network and a cross-validation, on public and on hospital patients."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("export")
    cohort = write_cohort(folder, 64, name="nih")
    config = Config.model_validate({**TINY, "schedule": {**TINY["schedule"], "choose": "last", "epochs": 6}})
    train(RunSpec(config, RunSources((cohort,)), folder / "run", folder / "cache"), CPU)
    flips = config.changed({"input.flips": True, "data.folds": 2, "schedule.epochs": 1})
    cross_validate(RunSpec(flips, RunSources((cohort,)), folder / "cv", folder / "cache"), CPU)
    (folder / "card.toml").write_text(CARD)
    write_cohort(folder, 24, name="apart", split="test")
    return Trained(folder, cohort)


def export(trained: Trained, run: str, name: str, *options: str) -> Any:
    arguments = [str(trained.folder / run), "-o", str(trained.folder / "models" / name)]
    return CliRunner().invoke(main, [*arguments, "--card", str(trained.folder / "card.toml"), *options])


def outputs(folder: Path, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(str(folder / WEIGHTS), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": image}), strict=True))


def images(count: int, size: int = 32) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(0, 1, (count, 1, size, size)).astype(np.float32)


def test_one_network_ships_with_a_map_whose_mean_plus_bias_is_the_logit(trained: Trained) -> None:
    result = export(trained, "run", "one")
    assert result.exit_code == 0, result.output
    folder = trained.folder / "models" / "one"
    card = load_card(folder)
    found = outputs(folder, images(3))
    saved = torch.load(trained.folder / "run" / "model.pt", weights_only=True)["state"]
    bias = float(saved["head.bias"][0])
    assert np.allclose(found["cam"].mean((1, 2)) + bias, found["logit"], atol=1e-4)
    assert np.allclose(1 / (1 + np.exp(-found["logit"])), found["probability"], atol=1e-6)
    assert "class activation map" in card.activation_map
    grid = card.activation_grid
    assert grid is not None
    assert grid.first_row == grid.first_column < grid.step / 2  # strides look at pixel 0 first, and not into the middle
    assert not card.operating_points[0].approximate
    assert card.operating_points[0].threshold == 0.5
    assert card.licence is not None and card.licence.weights == "for tests only"


def test_a_folder_of_something_else_is_not_replaced_and_an_earlier_model_is(trained: Trained) -> None:
    assert export(trained, "run", "again").exit_code == 0
    models = trained.folder / "models"
    refused = export(trained, "run", "../models")
    assert refused.exit_code == 1
    assert "is not a model folder: name a new one" in refused.output
    kept = (models / "again" / CARD_FILE).stat().st_mtime_ns
    assert export(trained, "run", "again").exit_code == 0
    assert (models / "again" / CARD_FILE).stat().st_mtime_ns > kept
    assert not list(models.glob("again.*"))


def test_the_calibrated_probability_stands_beside_the_plain_one(trained: Trained) -> None:
    assert export(trained, "cv", "calibrated", "--calibration", "platt").exit_code == 0
    folder = trained.folder / "models" / "calibrated"
    fitted = load_card(folder).calibration_fit
    assert fitted is not None
    found = outputs(folder, images(4))
    expected = 1 / (1 + np.exp(-(fitted.slope * found["logit"] + fitted.intercept)))
    assert np.allclose(found["calibrated_probability"], expected, atol=1e-5)
    assert fitted.brier_after <= fitted.brier_before


def test_averaged_folds_ship_in_one_graph_and_their_thresholds_are_approximate(trained: Trained) -> None:
    assert export(trained, "cv", "mean", "--calibration", "none").exit_code == 0
    folder = trained.folder / "models" / "mean"
    card = load_card(folder)
    assert all(point.approximate for point in card.operating_points)
    assert "2 networks averaged" in card.architecture
    assert card.calibration_fit is None
    found = outputs(folder, images(2))
    mirrored = outputs(folder, np.ascontiguousarray(images(2)[..., ::-1]))
    assert np.allclose(found["logit"], mirrored["logit"], atol=1e-4)  # image and mirror image are averaged
    assert np.allclose(found["cam"], mirrored["cam"][..., ::-1], atol=1e-4)
    grid, columns = card.activation_grid, found["cam"].shape[-1]
    assert grid is not None
    assert grid.first_column + (columns - 1) * grid.step / 2 == card.preprocessing.size / 2  # as much left as right


def test_the_best_fold_is_chosen_out_of_fold_and_is_judged_exactly(trained: Trained) -> None:
    assert export(trained, "cv", "best", "--member", "best").exit_code == 0
    card = load_card(trained.folder / "models" / "best")
    assert "lowest cross-entropy out of fold" in card.architecture
    assert not any(point.approximate for point in card.operating_points)


def test_an_average_is_judged_exactly_by_patients_that_no_member_saw(trained: Trained) -> None:
    apart = str(trained.folder / "apart.csv")
    assert export(trained, "cv", "apart", "--calibrate-on", apart).exit_code == 0
    card = load_card(trained.folder / "models" / "apart")
    assert not any(point.approximate for point in card.operating_points)
    assert card.performance[0].figures["auc"].n == 24


def test_patients_of_the_training_cannot_calibrate(trained: Trained) -> None:
    result = export(trained, "cv", "leak", "--calibrate-on", str(trained.cohort))
    assert result.exit_code == 1
    assert "is in training too" in result.output
    assert not (trained.folder / "models" / "leak").exists()


def test_a_test_set_is_scored_only_when_asked_and_every_look_counts(trained: Trained) -> None:
    shutil.copytree(trained.folder / "run", trained.folder / "looked")
    test = ("--test", str(trained.folder / "apart.csv"))
    refused = export(trained, "looked", "test", *test)
    assert refused.exit_code == 1
    assert "--look-at-test" in refused.output
    assert looks_at(trained.folder / "looked") == []
    assert export(trained, "looked", "test", *test, "--look-at-test").exit_code == 0
    assert len(looks_at(trained.folder / "looked")) == 1
    card = load_card(trained.folder / "models" / "test")
    assert card.performance[-1].cohort == "drawn test"
    assert card.performance[-1].held_out_how == "looked at once, for this release"


@pytest.mark.parametrize("variant", ["fp16", "int8"])
def test_variants_pass_their_gate_and_the_service_loads_them(trained: Trained, variant: str) -> None:
    result = export(trained, "run", variant, "--variant", variant)
    assert result.exit_code == 0, result.output
    folder = trained.folder / "models" / variant
    card = load_card(folder)
    assert card.variant == variant
    assert any(limit.startswith(f"{variant} against fp32") for limit in card.limits)
    scores = ModelSession(folder, card).score(images(2))
    assert np.isfinite(scores.probability).all()
    types = {tensor.data_type for tensor in onnx.load(folder / WEIGHTS).graph.initializer}
    assert (onnx.TensorProto.FLOAT16 if variant == "fp16" else onnx.TensorProto.INT8) in types


def test_a_variant_computes_the_distance_in_full(trained: Trained) -> None:
    assert export(trained, "run", "plain").exit_code == 0
    assert export(trained, "run", "half", "--variant", "fp16").exit_code == 0
    plain, half = (outputs(trained.folder / "models" / name, images(3)) for name in ("plain", "half"))
    assert np.allclose(plain["distance"], half["distance"], rtol=2e-3)


def test_a_variant_that_changes_tags_or_the_auc_is_refused() -> None:
    labels = np.array([0.0, 1.0] * 100)
    reference = np.where(labels > 0.5, 0.6, 0.4)
    people = [str(number) for number in range(200)]
    assert "0.00% of the tags" in check_variant(reference, reference, labels, people, [0.5])
    with pytest.raises(ParityError, match=r"flips 2\.0%"):
        check_variant(reference, np.where(np.arange(200) < 4, 1 - reference, reference), labels, people, [0.5])
    worse = reference.copy()
    worse[:40] = 0.45
    with pytest.raises(ParityError, match="AUC"):
        check_variant(reference, worse, labels, people, [0.99])


def test_a_graph_of_other_weights_fails_parity(trained: Trained) -> None:
    assert export(trained, "run", "parity").exit_code == 0
    view = InputConfig(resize=40, size=32)
    chests = np.random.default_rng(1).integers(0, 255, (64, 32, 32), dtype=np.uint8)
    other = Shipped([build("resnet18-w4", 1).eval()], [0], fit(chests), view)
    with pytest.raises(ParityError):
        check_parity(other, trained.folder / "models" / "parity" / WEIGHTS, chests, [[0.5]])


@pytest.mark.parametrize(
    ("architecture", "size", "mapped"),
    [("resnet18", 64, True), ("densenet121", 64, True), ("alexnet", 224, False), ("timm:resnet10t", 64, True)],
)
def test_each_kind_of_head_exports_as_pytorch_computes_it(
    tmp_path: Path, architecture: str, size: int, mapped: bool
) -> None:
    from export.graph import write

    torch.manual_seed(0)
    chests = np.random.default_rng(1).integers(0, 255, (48, size, size), dtype=np.uint8)
    view = InputConfig(resize=size, size=size)
    shipped = Shipped([build(architecture, 1).eval()], [0], fit(chests), view)
    write(shipped, tmp_path / WEIGHTS)
    assert check_parity(shipped, tmp_path / WEIGHTS, chests[:4], [[0.5]]) <= 1e-4
    assert ("cam" in shipped.names) == mapped


def test_a_centre_crop_is_cut_in_the_graph(tmp_path: Path) -> None:
    from export.graph import about_map, write

    view = InputConfig(resize=48, size=32, evaluation="centre-crop")
    chests = np.random.default_rng(1).integers(0, 255, (48, 48, 48), dtype=np.uint8)
    network = build("resnet18-w4", 1).eval()
    write(Shipped([network], [0], fit(chests), view), tmp_path / WEIGHTS)
    whole = images(2, 48)
    border = whole.copy()
    border[..., :8, :] = 5
    assert np.allclose(outputs(tmp_path, whole)["logit"], outputs(tmp_path, border)["logit"], atol=1e-6)
    assert about_map([network], view) == "none: the network sees the image's centre only"


def test_only_public_patients_are_listed(trained: Trained) -> None:
    assert public_patients(["nih:7", "hospital:8", "wcmc:person1-virus"]) == ["nih:7", "wcmc:person1-virus"]
    assert export(trained, "run", "listed").exit_code == 0
    listed = (trained.folder / "models" / "listed" / "training_patients.txt").read_text().split()
    assert set(listed) == set(json.loads((trained.folder / "run" / "run.json").read_text())["training_patients"])


def test_a_centred_model_is_equally_good_on_both_sides_of_a_half(trained: Trained) -> None:
    result = export(trained, "cv", "centred", "--centre", "--calibration", "none", "--member", "0")
    assert result.exit_code == 0, result.output
    card, plain = load_card(trained.folder / "models" / "centred"), trained.folder / "cv" / "fold0" / "model.pt"
    point = card.operating_points[0]
    assert point.sensitivity and point.specificity
    images_of_a_class = min(point.sensitivity.n, point.specificity.n)
    assert abs(point.sensitivity.value - point.specificity.value) <= 1 / images_of_a_class + 1e-4
    assert "sensitivity and specificity are equal" in point.chosen
    assert any("is added to the logit that the network learnt" in limit for limit in card.limits)
    found = outputs(trained.folder / "models" / "centred", images(3))
    bias = float(torch.load(plain, weights_only=True)["state"]["head.bias"][0])
    assert not np.allclose(found["cam"].mean((1, 2)) + bias, found["logit"], atol=1e-4)


def test_every_image_that_weights_or_distance_learnt_from_is_listed_by_its_bytes(trained: Trained) -> None:
    assert export(trained, "run", "listed").exit_code == 0
    card = load_card(trained.folder / "models" / "listed")
    assert card.training.images_file == "training_images.txt"
    listed = (trained.folder / "models" / "listed" / "training_images.txt").read_text().split()
    run = TrainingRun.open(trained.folder / "run")
    learnt = {*run.training_patients, *run.validation_patients}
    cases = [case for case in run.source.cases() if case.patient in learnt]
    assert set(listed) == {sha256(case.image.read_bytes()).hexdigest() for case in cases}
    assert card.distribution is not None
    refusals = card.distribution.refusals
    assert refusals["positive"].n + refusals["negative"].n == refusals["all"].n == len(cases)
    assert "further chests" not in refusals


def test_calibration_brings_scores_back_that_were_stretched() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1.5, 4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-truth))).astype(float)
    stretched = 3 * truth + 1
    platt, temperature = (fit_curve(labels, stretched, method) for method in ("platt", "temperature"))
    assert platt is not None and temperature is not None
    assert platt.slope == pytest.approx(1 / 3, rel=0.15)
    assert platt.intercept == pytest.approx(-1 / 3, abs=0.15)
    assert temperature.intercept == 0
    assert brier(labels, apply(platt, stretched)) < brier(labels, 1 / (1 + np.exp(-stretched)))
    assert fit_curve(labels[:12], stretched[:12], "platt") is None
    assert fit_curve(labels, -stretched, "temperature") is None


def test_a_threshold_certifies_its_sensitivity_or_there_is_none() -> None:
    probabilities = np.linspace(0.01, 1, 100)
    assert threshold_for(np.ones(100), probabilities, 0.9) == pytest.approx(0.05)
    assert threshold_for(np.ones(10), probabilities[:10], 0.9) is None


def test_a_card_without_the_new_fields_is_still_read(trained: Trained) -> None:
    assert export(trained, "run", "old", "--calibration", "none").exit_code == 0
    folder = trained.folder / "models" / "old"
    record = json.loads((folder / "card.json").read_text())
    (finding,) = record["findings"]
    del record["variant"], finding["calibration_fit"], finding["activation_map"]
    for point in finding["operating_points"]:
        del point["approximate"]
    (folder / "card.json").write_text(json.dumps(record))
    assert load_card(folder).variant == "fp32"


def test_two_outputs_ship_as_two_findings_with_figures_of_their_own_and_of_both_together(tmp_path: Path) -> None:
    cohort = with_pictures(write_cohort(tmp_path, 64, name="nih"))
    targets = {"abnormal": {"column": "label"}, "other": {"column": "other_label"}}
    config = Config.model_validate({**TINY, "targets": targets, "data": {"carve": 4, "folds": 2}})
    cross_validate(RunSpec(config, RunSources((cohort,)), tmp_path / "cv", tmp_path / "cache"), CPU)
    card_file = tmp_path / "card.toml"
    second = """
[[findings]]
target = "other"
name = "parity"
title = "odd number"
positive_class = "odd"
negative_class = "even"
negative_means = "undetermined"

[abnormal]
"""
    card_file.write_text(CARD.replace("[abnormal]\n", second.lstrip()))
    options = ["--card", str(card_file), "--centre", "--calibration", "none"]
    result = CliRunner().invoke(main, [str(tmp_path / "cv"), "-o", str(tmp_path / "two"), *options])
    assert result.exit_code == 0, result.output

    card = load_card(tmp_path / "two")
    assert [(each.name, each.column, each.counts) for each in card.findings] == [
        ("patch", 0, True),
        ("parity", 1, True),
    ]
    aucs = [each.performance[0].figures["auc"].value for each in card.findings]
    assert aucs[0] != aucs[1]  # the second cannot be learnt
    alone, together = card.leading.operating_points[0], card.abnormal.performance[0].figures
    assert alone.sensitivity is not None and alone.specificity is not None
    assert together["sensitivity"].value >= alone.sensitivity.value
    assert together["specificity"].value < alone.specificity.value
    scores = ModelSession(tmp_path / "two", card, threads=1, maps=True).score(images(3))
    assert scores.probability.shape == (3, 2) and scores.maps is not None and scores.maps.shape[:2] == (3, 2)

    card_file.write_text(card_file.read_text().replace('target = "other"', 'target = "none"'))
    refused = CliRunner().invoke(main, [str(tmp_path / "cv"), "-o", str(tmp_path / "two"), *options])
    assert refused.exit_code == 1 and "none: " in refused.output


def with_pictures(manifest: Path) -> Path:
    """Name the picture of each row, by which the folds' scores of every output are found again."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "picture"])
        writer.writeheader()
        writer.writerows({**row, "picture": f"p{number}"} for number, row in enumerate(rows))
    return manifest


def test_the_preprocessing_of_the_card_is_that_of_the_run(trained: Trained) -> None:
    assert export(trained, "run", "spec").exit_code == 0
    assert load_card(trained.folder / "models" / "spec").preprocessing.spec() == PreprocessSpec(
        size=32, resize="area_rows"
    )


def test_one_network_trained_on_everybody_is_judged_by_the_folds_of_its_recipe(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, 64, name="nih")
    config = Config.model_validate({**TINY, "schedule": {**TINY["schedule"], "epochs": 2, "choose": "last"}})
    folds = config.changed({"data.folds": 2})
    judging = RunSpec(folds, RunSources((cohort,)), tmp_path / "folds", tmp_path / "cache")
    cross_validate(judging, CPU, only=(1,))
    train(RunSpec(folds.changed({"data.carve": 0}), RunSources((cohort,)), tmp_path / "all", tmp_path / "cache"), CPU)
    card = tmp_path / "card.toml"
    card.write_text(CARD)

    def export(run: str, judges: str) -> Any:
        names = [str(tmp_path / run), "--judge-by", str(tmp_path / judges), "--card", str(card)]
        return CliRunner().invoke(main, [*names, "-o", str(tmp_path / "model"), "--calibration", "none"])

    refused = export("all", "folds")
    assert refused.exit_code == 1 and "lacks fold 0" in refused.output
    cross_validate(judging, CPU, only=(0,))  # fold by fold, as a plan trains them
    done = export("all", "folds")
    assert done.exit_code == 0, done.output
    written = load_card(tmp_path / "model")
    assert all(point.approximate for point in written.operating_points)
    assert "same recipe" in written.performance[0].held_out_how
    assert "trained on all of these patients" in written.performance[0].held_out_how
    auc = written.performance[0].figures["auc"]
    assert auc.n == 64
    found = json.loads((tmp_path / "folds" / "metrics.json").read_text())
    assert auc.value == pytest.approx(found["all"]["auc"], abs=1e-4)
    within = written.performance[0].figures["auc within view"]
    held_out = RunScores.read(tmp_path / "folds" / "predictions.csv")
    assert within.value == pytest.approx(auc_within(held_out.labels, held_out.logits, held_out.views), abs=1e-4)
    assert within.low < within.value < within.high or within.value == 1

    train(RunSpec(folds, RunSources((cohort,)), tmp_path / "carved", tmp_path / "cache"), CPU)
    refused = export("carved", "folds")
    assert refused.exit_code == 1
    assert "not trained on the same patients" in refused.output
    train(
        RunSpec(
            config.changed({"data.carve": 0, "schedule.epochs": 1}),
            RunSources((cohort,)),
            tmp_path / "other",
            tmp_path / "cache",
        ),
        CPU,
    )
    assert "different configurations" in export("other", "folds").output
    assert "is not a cross-validation" in export("all", "all").output
