"""Release of a run as a model folder; nothing is written unless graph and network agree on real images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from export import calibrate
from export import card_fields as fields
from export import performance as figures
from export.activation_grid import activation_grid
from export.centre import lowered
from export.description import DescriptionFile
from export.findings import (
    MeasuredFinding,
    combined_performance,
    judged_by_output,
    measure_finding,
    outputs_of,
    write_as_shipped,
)
from export.gate import pass_gate
from export.graph import Shipped, about_map, write
from export.held_out import Chests, Members, chests_of, choose_members, judge, judge_by
from export.parity import check_parity, check_refusals, check_variant, run_graph
from export.variants import Variant, write_variant
from training.data.images import load
from training.data.targets import target_matrix
from training.errors import TrainingError
from training.files import digest
from training.runs.devices import Process
from training.runs.run import TrainingRun, load_network
from training.runs.test_set_looks import TestSet, look, looks_at
from training.runs.training_images import IMAGES, as_list, names_of, read_images
from triage.model.card import (
    CARD,
    WEIGHTS,
    Distribution,
    ModelCard,
    Preprocessing,
    Training,
    load_card,
)
from triage.model.card_finding import AbnormalRule, ActivationGrid, CardFinding, Performance
from triage.model.card_versions import SCHEMA
from triage.model.distribution import fit

PATIENTS = "training_patients.txt"
AS_SHIPPED = "as-shipped.csv"
"""File in the run's folder: held-out scores on the scale of the model, for ``triage validate --scores``."""
PARITY_IMAGES = 200
RANGE_IMAGES = 100


@dataclass(frozen=True)
class ReleaseOptions:
    """Options of the command line; see ``python -m export --help``."""

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


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A run chosen for release, and everything that is measured of it before its graph is written."""

    run: TrainingRun
    about: DescriptionFile
    options: ReleaseOptions
    process: Process
    members: Members
    findings: tuple[MeasuredFinding, ...]
    chests: Chests
    shipped: Shipped
    distribution: Distribution

    @property
    def leading(self) -> MeasuredFinding:
        """The first finding, by which the run was chosen."""
        return self.findings[0]


def release(
    run: TrainingRun, about: DescriptionFile, folder: Path, options: ReleaseOptions, process: Process
) -> ModelCard:
    """Write the model folder of ``run`` at ``folder`` and return its card.

    A test set is scored only with ``options.look_at_test``, and the look is counted in the run. Raises ParityError and
    TrainingError; nothing is written then.
    """
    candidate = _measured(run, about, options, process)
    with _staged(folder) as staging:
        write(candidate.shipped, staging / WEIGHTS)
        checked = _check_graph(candidate, staging / WEIGHTS)
        patients = "".join(f"{patient}\n" for patient in fields.public_patients(run.learnt_from))
        (staging / PATIENTS).write_text(patients, encoding="utf-8")
        learnt_from = {*read_images(run.folder), *names_of(candidate.chests.cases)}
        (staging / IMAGES).write_text(as_list(learnt_from), encoding="utf-8")
        card = _card(candidate, folder.name, staging, checked)
        (staging / CARD).write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    return load_card(folder)


def _measured(run: TrainingRun, about: DescriptionFile, options: ReleaseOptions, process: Process) -> _Candidate:
    members = choose_members(run, options.member)
    findings = _findings_of(run, about, options, members, process)
    networks = [load_network(member) for member in members.folders]
    for each in findings if options.centre else ():
        networks = lowered(networks, each.output, each.lowered_by)
    write_as_shipped(findings, run.folder / AS_SHIPPED)
    chests = chests_of(run, options.chests)
    curves = [each.curve for each in findings if each.curve is not None]
    curves = curves if len(curves) == len(findings) else []
    outputs = [each.output for each in findings]
    return _Candidate(
        run=run,
        about=about,
        options=options,
        process=process,
        members=members,
        findings=tuple(findings),
        chests=chests,
        shipped=Shipped(networks, outputs, fit(chests.images), run.config.input, curves),
        distribution=fields.distribution(chests),
    )


def _findings_of(
    run: TrainingRun, about: DescriptionFile, options: ReleaseOptions, members: Members, process: Process
) -> list[MeasuredFinding]:
    """Measure each finding on the held-out patients."""
    folds = TrainingRun.open(options.judge_by) if options.judge_by else run
    outputs = outputs_of(run, about)
    if len(outputs) > 1 and options.calibrate_on:
        raise TrainingError("--calibrate-on judges one finding: judge several by the folds")
    if options.judge_by is not None:
        first = judge_by(run, folds)
    else:
        first = judge(run, members, process, options.calibrate_on, options.calibrate_splits)
    found: list[MeasuredFinding] = []
    for finding, output in zip(about.findings, outputs, strict=True):
        judged = judged_by_output(first, folds, output) if found else first
        measured = measure_finding(
            about, finding, output, judged, centre=options.centre, calibration=options.calibration
        )
        found.append(measured)
    return found


@dataclass(frozen=True)
class _CheckedGraph:
    """Places of the activation map of a checked graph, and notes for the card's limits."""

    grid: ActivationGrid | None
    notes: tuple[str, ...]


def _check_graph(candidate: _Candidate, weights: Path) -> _CheckedGraph:
    """Compare the graph with the network, and replace it by its variant. Raises ParityError."""
    images, view = candidate.chests.images, candidate.run.config.input
    few = images[:: max(len(images) // PARITY_IMAGES, 1)]
    parity = check_parity(candidate.shipped, weights, few, [each.thresholds for each in candidate.findings])
    notes = [f"graph and network agree within {parity:.1e} on {len(few)} images"]
    for each in candidate.findings if candidate.options.centre else ():
        moved = f"{each.about.name}: {-each.lowered_by:+.4f} is added to the logit that the network learnt"
        notes.append(f"{moved}: see the first operating point")
    grid = activation_grid(weights, view.spec().size, flips=view.flips)
    if candidate.options.variant != "fp32":
        notes.append(_make_variant(candidate, weights))
    return _CheckedGraph(grid, tuple(notes))


def _card(candidate: _Candidate, name: str, staging: Path, checked: _CheckedGraph) -> ModelCard:
    run, about, options = candidate.run, candidate.about, candidate.options
    view = run.config.input
    verdict = pass_gate(candidate.leading.judged.scored, about)
    return ModelCard(
        card_schema=SCHEMA,
        name=name,
        version=about.version,
        demo=verdict.demo,
        architecture=fields.architecture(run, candidate.members),
        preprocessing=Preprocessing(**view.spec().to_record()),
        findings=tuple(_finding(candidate, each, checked) for each in candidate.findings),
        abnormal=AbnormalRule(
            negative_is_normal=about.abnormal.negative_is_normal,
            performance=combined_performance(candidate.findings, about) if len(candidate.findings) > 1 else (),
        ),
        intended_use=about.intended_use,
        variant=options.variant,
        distribution=candidate.distribution,
        training=_training(run, about, staging),
        limits=(*about.limits, *verdict.lines, *_few_positives(candidate), *checked.notes),
        licence=about.licence,
        model_sha256=digest(staging / WEIGHTS),
    )


def _finding(candidate: _Candidate, finding: MeasuredFinding, checked: _CheckedGraph) -> CardFinding:
    about, described = finding.about, about_map(candidate.shipped.networks, candidate.run.config.input)
    column = candidate.findings.index(finding)
    calibration = candidate.options.calibration
    tested = _tested(candidate) if column == 0 else []
    return CardFinding(
        name=about.name,
        title=about.title,
        code=about.code,
        column=column,
        positive_class=about.positive_class,
        negative_class=about.negative_class,
        negative_means=about.negative_means,
        counts=about.counts,
        operating_points=finding.points,
        calibration=fields.about_calibration(finding.curve, calibration),
        calibration_fit=fields.calibration_fit(finding.curve, calibration, finding.judged, candidate.about),
        performance=(*fields.performances(finding.judged, candidate.about, finding.points), *tested),
        activation_map=described,
        activation_column=column if candidate.shipped.has_map else None,
        activation_grid=checked.grid,
    )


def _few_positives(candidate: _Candidate) -> list[str]:
    return fields.few_positives(candidate.leading.points, candidate.about)


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Yield a folder next to ``folder`` that takes its place after success, and is removed after an error.

    Raises TrainingError for a folder that holds anything but a model: ``-o models`` would replace all models.
    """
    if folder.exists() and not (folder / CARD).exists() and any(folder.iterdir()):
        raise TrainingError(f"{folder} exists and is not a model folder: name a new one, as {folder / 'NAME'}")
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


def _make_variant(candidate: _Candidate, weights: Path) -> str:
    """Replace the graph by its variant, calibrated on training images, and return its difference on held-out ones."""
    run, chests, cases = candidate.run, candidate.chests, candidate.leading.judged.cases
    spec, trained = run.config.input.spec(), set(run.training_patients)
    places = [place for place, case in enumerate(chests.cases) if case.patient in trained]
    images = load(cases, spec, run.cache)
    variant = candidate.options.variant
    before = [run_graph(weights, images, spec, output) for output in ("probability", "distance")]
    write_variant(weights, variant, chests.images[places[:: max(len(places) // RANGE_IMAGES, 1)]], spec)
    after = [run_graph(weights, images, spec, output) for output in ("probability", "distance")]
    check_refusals(before[1], after[1], candidate.distribution.limit)
    labels = target_matrix(cases, run.config.targets)[:, 0]
    patients = [case.patient for case in cases]
    reference, changed = (values if values.ndim == 1 else values[:, 0] for values in (before[0], after[0]))
    return f"{variant} " + check_variant(reference, changed, labels, patients, candidate.leading.thresholds)


def _tested(candidate: _Candidate) -> list[Performance]:
    run, about, options = candidate.run, candidate.about, candidate.options
    if options.test is None:
        return []
    test = TestSet(options.test, options.test_splits)
    scored = look(run, test, candidate.process, allowed=options.look_at_test, members=candidate.members.folders)
    count = len(looks_at(run.folder))
    how = "looked at once, for this release" if count == 1 else f"looked at {count} times from this run"
    cohort = about.export.test or options.test.stem
    thresholds = fields.thresholds_by_name(candidate.leading.points)
    return [
        figures.performance(
            scored.lowered(candidate.leading.lowered_by), cohort, about.export.reference, how, thresholds
        )
    ]


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
