"""What is trained on what. Each recipe reads top to bottom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training import cohorts
from training.architectures import build
from training.cohorts import Sample, by_person, check_patients_apart
from training.config import Config
from training.images import load
from training.trainer import Floats, Task, fit, predict
from triage.validation.statistics import auc

VALIDATION_PARTS = 10  # every tenth person validates

# The outputs of the pre-training and their shares of the loss. Sex, projection, age and text-mined findings are there
# to make the network learn what chests look like; none of them is shipped.
AUXILIARY = {"bacterial": 0.3, "male": 0.3, "ap": 0.3, "age": 0.5, "text_abnormal": 0.5}
FINDINGS_SHARE = 1.5
FINDING_POSITIVE = 3.0  # text-mined findings are rare


def pretrain(config: Config, data: Path, run: Path) -> None:
    """Pneumonia on WCMC's official train, beside what NIH's tables know of the images of its ``text`` part.

    The output ``pneumonia`` is the pediatric model; the network is where the adult model starts. Validation is every
    tenth person of WCMC's train. Patients of Tang's test list and of NIH's ``expert`` part are left out.
    """
    children = [sample for sample in cohorts.wcmc(data) if sample.part == "train"]
    validation = [sample for sample in children if by_person(sample, VALIDATION_PARTS) == 0]
    training = [sample for sample in children if by_person(sample, VALIDATION_PARTS) != 0]
    everything = cohorts.nih(data)
    adults = _text_part(everything, cohorts.tang_test_patients(data))
    check_patients_apart(training, validation)
    check_patients_apart(adults, [sample for sample in everything if sample.part == "expert"])
    samples = [*training, *adults, *adults]  # adults twice: they are few
    outputs = ["pneumonia", *AUXILIARY, *sorted(name for name in adults[0].targets if name.startswith("finding:"))]
    _describe(run, config, outputs, training=[*training, *adults], validation=validation)
    torch.manual_seed(config.schedule.seed)
    held_out = load(validation, config.spec(), run / "cache")
    truth = _targets(validation, ["pneumonia"])[:, 0]

    def report(model: nn.Module) -> dict[str, float]:
        scores = predict([model], held_out, 0)
        return {
            "validation_auc": auc(truth, scores),
            "validation_sensitivity": float((scores[truth > 0.5] >= 0).mean()),
            "validation_specificity": float((scores[truth < 0.5] < 0).mean()),
        }

    task = _pretraining_task(samples, outputs, config, run)
    fit(build(config.architecture, len(outputs)), task, config.schedule.schedule(), config.size, run, report)


def expert_folds(config: Config, data: Path, run: Path) -> None:
    """RSNA's class on NIH's ``expert`` part: one network for each of its five patient-grouped folds left out.

    All start from the pre-trained network with a new head. ``run/oof.json`` has each image's score by the one network
    that never saw its patient. Projection and label are balanced by weights, so that the projection predicts nothing.
    """
    experts = [sample for sample in cohorts.nih(data) if sample.part == "expert"]
    _describe(run, config, ["abnormal"], training=experts, validation=[])
    large, exact = (load(experts, spec, run / "cache") for spec in (config.cached_spec(), config.spec()))
    folds = np.array([sample.fold for sample in experts])
    targets = _targets(experts, ["abnormal"])
    scores = np.zeros(len(experts), dtype=np.float32)
    for fold in sorted(set(folds.tolist())):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        check_patients_apart([experts[i] for i in inside], [experts[i] for i in outside])
        weights = balanced_weights([experts[i] for i in inside], targets[inside, 0])
        task = Task(large[inside], targets[inside], weights[:, None], np.array([False]))
        torch.manual_seed(config.schedule.seed + fold)
        model = _from_pretrained(config, Path(config.initialise))
        trained = fit(model, task, config.schedule.schedule(seed=fold), config.size, run / f"fold{fold}")
        scores[outside] = predict([trained], exact[outside], 0)
    rows = [
        {"image": sample.path.name, "patient": sample.patient, "fold": int(fold), "view": sample.view}
        | {"sex": sample.sex, "age_years": sample.age_years, "label": float(label), "logit": float(score)}
        for sample, fold, label, score in zip(experts, folds, targets[:, 0], scores, strict=True)
    ]
    (run / "oof.json").write_text(json.dumps(rows, indent=0))


def balanced_weights(samples: Sequence[Sample], labels: Floats) -> Floats:
    """Weights of mean 1 that give each projection the same mass of either label, so that it is no shortcut."""
    cells = [(sample.view, float(label)) for sample, label in zip(samples, labels, strict=True)]
    views = {view for view, _ in cells}
    in_view = {view: sum(cell[0] == view for cell in cells) for view in views}
    raw = np.array([in_view[view] / 2 / cells.count((view, label)) for view, label in cells])
    return np.asarray(raw / raw.mean(), dtype=np.float32)


def _text_part(samples: Sequence[Sample], left_out: frozenset[str]) -> list[Sample]:
    return [sample for sample in samples if sample.part == "text" and sample.patient not in left_out]


def _pretraining_task(samples: Sequence[Sample], outputs: list[str], config: Config, run: Path) -> Task:
    targets = _targets(samples, outputs)
    findings = sum(name.startswith("finding:") for name in outputs)
    shares = [1.0 if name == "pneumonia" else AUXILIARY.get(name, FINDINGS_SHARE / findings) for name in outputs]
    weights = np.tile(np.array(shares, dtype=np.float32), (len(samples), 1))
    pneumonia = np.nanmean(targets[:, 0])
    weights[:, 0] *= np.where(targets[:, 0] > 0.5, 0.5 / pneumonia, 0.5 / (1 - pneumonia))
    rare = np.array([name.startswith("finding:") for name in outputs])
    weights[rare & (targets > 0.5)] *= FINDING_POSITIVE
    regression = np.array([name == "age" for name in outputs])
    return Task(load(samples, config.cached_spec(), run / "cache"), targets, weights, regression)


def _targets(samples: Sequence[Sample], outputs: Sequence[str]) -> Floats:
    return np.array([[s.targets.get(name, np.nan) for name in outputs] for s in samples], dtype=np.float32)


def _from_pretrained(config: Config, source: Path) -> nn.Module:
    """The pre-trained network with one new output."""
    saved = torch.load(source / "last.pt", weights_only=True)["averaged"]
    model = build(config.architecture, 1)
    missing, unexpected = model.load_state_dict(
        {name: value for name, value in saved.items() if not name.startswith("head.")}, strict=False
    )
    if unexpected or any(not name.startswith("head.") for name in missing):
        raise cohorts.CohortError(f"{source} is not a run of {config.architecture}")
    return model


def _describe(
    run: Path, config: Config, outputs: list[str], *, training: Sequence[Sample], validation: Sequence[Sample]
) -> None:
    run.mkdir(parents=True, exist_ok=True)
    record = {
        "config": config.model_dump(),
        "outputs": outputs,
        "training_images": len(training),
        "training_patients": sorted({sample.patient for sample in training}),
        "validation_patients": sorted({sample.patient for sample in validation}),
    }
    (run / "run.json").write_text(json.dumps(record, indent=1))


RECIPES = {"pretrain": pretrain, "expert_folds": expert_folds}
