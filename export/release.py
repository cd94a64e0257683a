"""From a run to a model folder. Nothing is written unless the graph agrees with the network on real images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from export import calibrate
from export import card_fields as measured
from export import performance as figures
from export.activation_grid import activation_grid
from export.centre import equal_point, lowered
from export.description import DescriptionFile
from export.gate import pass_gate
from export.graph import Shipped, about_map, write
from export.held_out import Chests, HeldOutScores, Members, chests_of, choose_members, judge, judge_by
from export.parity import check_parity, check_refusals, check_variant, run_graph
from export.variants import Variant, write_variant
from training.data.images import load
from training.data.targets import target_matrix
from training.errors import TrainingError
from training.files import digest
from training.runs.devices import Process
from training.runs.run import TrainingRun, load_network
from training.runs.test_set_looks import look, looks_at
from training.runs.training_images import IMAGES, read_images
from triage.model.card import (
    CARD,
    WEIGHTS,
    ModelCard,
    OperatingPoint,
    Performance,
    Preprocessing,
    Training,
    load_card,
)
from triage.model.card_schema import SCHEMA
from triage.model.distribution import fit

PATIENTS = "training_patients.txt"
AS_SHIPPED = "as-shipped.csv"
"""In the run's folder: held-out scores with 0.5 where the model has it, for ``triage validate --scores``."""
PARITY_IMAGES = 200
RANGE_IMAGES = 100


@dataclass(frozen=True)
class ReleaseOptions:
    """What the command line says. See ``python -m export --help``."""

    member: str | None = None
    judge_by: Path | None = None
    calibrate_on: Path | None = None
    calibrate_splits: tuple[str, ...] = ()
    calibration: calibrate.Method = "platt"
    centre: bool = False
    chests: tuple[Path, ...] = ()
    test: Path | None = None
    test_splits: tuple[str, ...] = ()
    look_at_test: bool = False
    variant: Variant = "fp32"


def release(
    run: TrainingRun, about: DescriptionFile, folder: Path, options: ReleaseOptions, process: Process
) -> ModelCard:
    """Write the model folder of ``run`` at ``folder``; returns its card. Raises ParityError and TrainingError.

    A test set is scored only with ``options.look_at_test``, and the look is counted in the run.
    """
    target = _target(run, about)
    members = choose_members(run, options.member)
    networks = [load_network(member) for member in members.folders]
    if options.judge_by is not None:
        judged = judge_by(run, TrainingRun.open(options.judge_by))
    else:
        judged = judge(run, members, process, options.calibrate_on, options.calibrate_splits)
    if not figures.has_both_classes(judged.scored):
        raise TrainingError(f"{run.folder}: the held-out patients are all of one class, which measures nothing")
    lower = equal_point(judged.scored) if options.centre else 0.0
    if options.centre:
        networks = lowered(networks, run.config.outputs.index(target), lower)
        judged = replace(judged, scored=judged.scored.lowered(lower))
    judged.scored.write(run.folder / AS_SHIPPED)
    chests = chests_of(run, options.chests)
    curve = calibrate.fit_curve(judged.scored.labels, judged.scored.logits, options.calibration)
    shipped = Shipped(networks, run.config.outputs.index(target), fit(chests.images), run.config.input, curve)
    points = measured.operating_points(judged, about, centred=options.centre)
    distribution = measured.distribution(chests)
    with _staged(folder) as staging:
        write(shipped, staging / WEIGHTS)
        few = chests.images[:: max(len(chests.images) // PARITY_IMAGES, 1)]
        parity = check_parity(shipped, staging / WEIGHTS, few, [point.threshold for point in points])
        grid = activation_grid(staging / WEIGHTS, run.config.input.spec().size, flips=run.config.input.flips)
        notes = [f"graph and network agree within {parity:.1e} on {len(few)} images"]
        if options.centre:
            notes.append(f"{-lower:+.4f} is added to the logit that the network learnt: see the first operating point")
        if options.variant != "fp32":
            notes.append(_make_variant(staging / WEIGHTS, options, run, chests, judged, points, distribution.limit))
        verdict = pass_gate(judged.scored, about)
        tested = _tested(run, members, about, points, options, process, lower)
        patients = "".join(f"{patient}\n" for patient in measured.public_patients(run.learnt_from))
        (staging / PATIENTS).write_text(patients, encoding="utf-8")
        (staging / IMAGES).write_text("".join(f"{name}\n" for name in read_images(run.folder)), encoding="utf-8")
        card = ModelCard(
            card_schema=SCHEMA,
            name=folder.name,
            version=about.version,
            model_sha256=digest(staging / WEIGHTS),
            demo=verdict.demo,
            architecture=measured.architecture(run, members),
            preprocessing=Preprocessing(**run.config.input.spec().to_record()),
            target=about.target,
            intended_use=about.intended_use,
            operating_points=points,
            calibration=measured.about_calibration(curve, options.calibration),
            calibration_fit=measured.calibration_fit(curve, options.calibration, judged, about),
            activation_map=about_map(networks, run.config.input),
            activation_grid=grid,
            variant=options.variant,
            distribution=distribution,
            training=_training(run, about, staging),
            performance=(*measured.performances(judged, about, points), *tested),
            limits=(*about.limits, *verdict.lines, *measured.few_positives(points, about), *notes),
            licence=about.licence,
        )
        (staging / CARD).write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    return load_card(folder)


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` that takes its place when all went well, and is removed when not.

    TrainingError for a folder that holds something else than a model: ``-o models`` would take all of them away.
    """
    if folder.exists() and not (folder / CARD).exists() and any(folder.iterdir()):
        raise TrainingError(f"{folder} is there and is no model folder: name a new one, as {folder / 'NAME'}")
    staging, before = (folder.with_name(folder.name + end) for end in (".part", ".before"))
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        if folder.exists():
            shutil.rmtree(before, ignore_errors=True)
            folder.rename(before)
        staging.rename(folder)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _target(run: TrainingRun, about: DescriptionFile) -> str:
    target = about.export.target or run.config.outputs[0]
    if target != run.config.outputs[0]:
        raise TrainingError(f"{target!r} is not the first target of {run.folder}, and only that was measured")
    return target


def _make_variant(
    weights: Path,
    options: ReleaseOptions,
    run: TrainingRun,
    chests: Chests,
    judged: HeldOutScores,
    points: Sequence[OperatingPoint],
    limit: float,
) -> str:
    """Replace the graph by its variant, calibrated on training images and checked on held-out ones."""
    spec, trained = run.config.input.spec(), set(run.training_patients)
    places = [place for place, case in enumerate(chests.cases) if case.patient in trained]
    images = load(judged.cases, spec, run.cache)
    before = [run_graph(weights, images, spec, output) for output in ("probability", "distance")]
    write_variant(weights, options.variant, chests.images[places[:: max(len(places) // RANGE_IMAGES, 1)]], spec)
    after = [run_graph(weights, images, spec, output) for output in ("probability", "distance")]
    check_refusals(before[1], after[1], limit)
    labels = target_matrix(judged.cases, run.config.targets)[:, 0]
    patients, thresholds = [case.patient for case in judged.cases], [point.threshold for point in points]
    return f"{options.variant} " + check_variant(before[0], after[0], labels, patients, thresholds)


def _tested(
    run: TrainingRun,
    members: Members,
    about: DescriptionFile,
    points: Sequence[OperatingPoint],
    options: ReleaseOptions,
    process: Process,
    lower: float,
) -> list[Performance]:
    if options.test is None:
        return []
    scored = look(
        run, options.test, options.test_splits, process, allowed=options.look_at_test, members=members.folders
    )
    looks = len(looks_at(run.folder))
    seen = "looked at once, for this release" if looks == 1 else f"looked at {looks} times from this run"
    cohort = about.export.test or options.test.stem
    named = measured.named(points)
    return [figures.performance(scored.lowered(lower), cohort, about.export.reference, seen, named)]


def _training(run: TrainingRun, about: DescriptionFile, folder: Path) -> Training:
    return Training(
        data=about.training.data,
        images=run.training_images,
        recipe=about.training.recipe,
        patients_file=PATIENTS,
        patients_sha256=digest(folder / PATIENTS),
        images_file=IMAGES,
        images_sha256=digest(folder / IMAGES),
    )
