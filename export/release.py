"""From a run to a model folder. Nothing is written unless the graph agrees with the network on real images."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from export import members as held
from export.graph import Shipped, write
from export.members import Run, Scored
from training.cohorts import Sample
from training.distribution import COMPONENTS, LIMIT_PERCENTILE, fit, out_of_fold
from training.images import load, to_levels
from training.trainer import standardise
from triage.model.card import (
    CARD,
    SCHEMA,
    WEIGHTS,
    Distribution,
    ModelCard,
    OperatingPoint,
    Performance,
    Preprocessing,
    Training,
    load_card,
)

PARITY = 1e-4
PATIENTS = "training_patients.txt"


class ParityError(Exception):
    """The graph and the network disagree: nothing was written."""


def release(run: Run, description: Path, data: Path, folder: Path, *, look_at_test: bool) -> ModelCard:
    """Write the model folder of ``run`` at ``folder``; returns its card.

    ``description`` is the TOML with what no measurement can say (intended use, limits). ``look_at_test`` scores the
    cohort's official test part, which is done once for a released model. Raises ParityError.
    """
    text = tomllib.loads(description.read_text())
    part = text.pop("export")
    samples = held.cohort_of(data, part["cohort"])
    known = [sample for sample in samples if sample.part in part["distribution_parts"]]
    images = load(known, run.config.spec(), run.folder / "cache")
    distances = out_of_fold(images, [sample.patient for sample in known])
    limit = round(float(np.percentile(distances, LIMIT_PERCENTILE)), 4)
    networks = held.members(run)
    shipped = Shipped(networks, run.outputs.index(part["target"]), fit(images), run.config.spec())
    staging = folder.with_name(folder.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    write(shipped, run.config.size, staging / WEIGHTS)
    parity = check_parity(shipped, staging / WEIGHTS, images[:: max(len(images) // 200, 1)])
    (staging / PATIENTS).write_text("".join(f"{patient}\n" for patient in run.training_patients))
    chosen = _validation(run, networks, samples, part)
    threshold = held.threshold_for(chosen, part["target_sensitivity"])
    thresholds = {"0.5": 0.5, f"{threshold:.4f}": threshold}
    card = ModelCard(
        card_schema=SCHEMA,
        name=folder.name,
        model_sha256=_digest(staging / WEIGHTS),
        demo=_is_demo(chosen, part),
        architecture=_architecture(run, len(networks)),
        preprocessing=Preprocessing(**run.config.spec().to_record()),
        operating_points=_operating_points(chosen, threshold, part),
        distribution=_distribution(known, distances, limit, part["target"]),
        training=_training(run, text.pop("training"), _digest(staging / PATIENTS)),
        performance=tuple(_performances(run, networks, samples, chosen, part, thresholds, look_at_test)),
        limits=(*text.pop("limits"), f"graph and network agree within {parity:.1e} on 200 images"),
        **text,
    )
    (staging / CARD).write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
    return load_card(folder)


def check_parity(shipped: Shipped, weights: Path, images: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    """Largest difference of probabilities between PyTorch and ONNX Runtime; ParityError beyond 1e-4."""
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    worst = 0.0
    for start in range(0, len(images), 16):
        batch = standardise(to_levels(images[start : start + 16])).contiguous()
        with torch.no_grad():
            expected = shipped(batch)
        found = session.run(None, {"image": batch.numpy()})
        worst = max(worst, float(np.abs(expected[1].numpy() - found[1]).max()))
        if not np.allclose(expected[2].numpy(), found[2], rtol=1e-3, atol=1e-3):
            raise ParityError("distances of graph and network differ by more than 1e-3")
    if not worst <= PARITY:
        raise ParityError(f"probabilities of graph and network differ by {worst:.2e}, more than {PARITY:.0e}")
    return worst


def _validation(run: Run, networks: list[Any], samples: Sequence[Sample], part: dict[str, Any]) -> Scored:
    if run.config.recipe == "expert_folds":
        return held.out_of_fold(run, [s for s in samples if s.fold is not None], part["target"])
    chosen = set(run.validation_patients)
    inside = [sample for sample in samples if sample.patient in chosen and sample.part == "train"]
    return held.held_out(run, networks, inside, part["target"])


def _operating_points(chosen: Scored, threshold: float, part: dict[str, Any]) -> tuple[OperatingPoint, ...]:
    wanted = part["target_sensitivity"]
    how = f"highest threshold whose sensitivity has an exact 95 % lower bound of {wanted} on {part['validation']}"
    return tuple(
        OperatingPoint(
            name=name,
            threshold=value,
            chosen=why,
            sensitivity=held.sensitivity(chosen, value),
            specificity=held.specificity(chosen, value),
        )
        for name, value, why in (
            ("default", 0.5, "fixed in advance, as Tang et al. 2020"),
            (f"sensitivity {wanted}", threshold, how),
        )
    )


def _performances(
    run: Run,
    networks: list[Any],
    samples: Sequence[Sample],
    chosen: Scored,
    part: dict[str, Any],
    thresholds: dict[str, float],
    look_at_test: bool,
) -> Any:
    reference, how = part["reference"], part["how"]
    yield held.performance(chosen, part["validation"], reference, how, thresholds)
    for view in part.get("by_view", ()):
        shown = chosen.where([sample.view == view for sample in chosen.samples])
        yield held.performance(shown, f"{part['validation']}, {view} only", reference, how, thresholds)
    if part.get("by_view"):
        alone = held.view_alone(chosen.samples, chosen.labels)
        text = "the projection alone, for comparison: what reading AP or PA as the label would reach"
        yield Performance(cohort=part["validation"], reference=reference, held_out_how=text, figures={"auc": alone})
    if look_at_test:
        test = [sample for sample in samples if sample.part == "test"]
        scored = held.held_out(run, networks, test, part["target"])
        yield held.performance(scored, part["test"], reference, "looked at once, for this release", thresholds)


def _is_demo(chosen: Scored, part: dict[str, Any]) -> bool:
    """A model for adults whose AUC may be chance within PA or within AP is a demonstration."""
    views = [[sample.view == view for sample in chosen.samples] for view in part.get("by_view", ())]
    return any(held.auc_interval(chosen.where(keep)).low <= 0.5 for keep in views)


def _distribution(known: Sequence[Sample], distances: Any, limit: float, target: str) -> Distribution:
    groups: dict[str, list[bool]] = {"all": [True] * len(known)}
    for name, value in (("positive", 1.0), ("negative", 0.0)):
        groups[name] = [sample.targets.get(target) == value for sample in known]
    for view in sorted({sample.view for sample in known} - {""}):
        groups[view] = [sample.view == view for sample in known]
    refused = distances > limit
    return Distribution(
        measure=f"largest of three ratios in a subspace of {COMPONENTS} components of 32 x 32 thumbnails: "
        "inside, outside, contrast (training/distribution.py)",
        limit=limit,
        chosen=f"{LIMIT_PERCENTILE:g}th percentile of the out-of-fold distances of {len(known)} chests, "
        "five folds by patient",
        refusals={name: held.share(refused[np.array(keep)]) for name, keep in groups.items() if any(keep)},
    )


def _training(run: Run, text: dict[str, Any], patients_sha256: str) -> Training:
    return Training(images=run.training_images, patients_file=PATIENTS, patients_sha256=patients_sha256, **text)


def _architecture(run: Run, count: int) -> str:
    members = "one network" if count == 1 else f"{count} networks averaged"
    return f"{run.config.architecture} at {run.config.size} px, {members}, image and mirror image averaged"


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
