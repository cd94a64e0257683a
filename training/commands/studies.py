"""Commands that train variants of a configuration, and commands that compare and draw finished runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from training.commands.learning_curves import compare_curves
from training.commands.options import FOLDER, NEW_FILE, TrainingRunOptions, device_option, fold_option, run_options
from training.commands.plans import COMMANDS as PLAN_COMMANDS
from training.runs.devices import process
from training.runs.run import RunSpec, TrainingRun
from training.runs.scores import RunScores, summary
from training.runs.weight_averaging import average
from training.studies import plots
from training.studies.compare import folds_of, paired_by_view, predictions_of, replicates
from training.studies.experiments import TABLE, Changes, ablations_of, grid_of, run_study, sizes_of

RUN = click.Path(exists=True, path_type=Path)


def _study(base: RunSpec, variants: dict[str, Changes], folds: tuple[int, ...], device: str) -> None:
    with process(device) as here:
        run_study(base, variants, here, folds)
        if here.writes:
            click.echo((base.folder / TABLE).read_text(encoding="utf-8"), nl=False)


@click.command("grid")
@run_options
@fold_option
def grid(options: TrainingRunOptions, folds: tuple[int, ...]) -> None:
    """Train every combination of CONFIG's [grid], ordered by the cross-entropy out of fold."""
    base = options.spec()
    _study(base, grid_of(base.config), folds, options.device)


@click.command("ablate")
@run_options
@fold_option
@click.option("--only", multiple=True, help="Only this table of [ablate]; may be repeated.")
def ablate(options: TrainingRunOptions, folds: tuple[int, ...], only: tuple[str, ...]) -> None:
    """Train CONFIG as it is and with each of its [ablate] tables alone, on validation folds."""
    base = options.spec()
    _study(base, ablations_of(base.config, only), folds, options.device)


@click.command("learning-curve")
@run_options
@fold_option
@click.option("--images", type=click.IntRange(0), multiple=True, required=True, help="Training images; 0 for all.")
def learning_curve(options: TrainingRunOptions, folds: tuple[int, ...], images: tuple[int, ...]) -> None:
    """Train CONFIG with growing numbers of images; start from another domain with --set model.weights=run:FOLDER."""
    _study(options.spec(), sizes_of(images), folds, options.device)


@click.command("compare")
@click.argument("first", type=RUN)
@click.argument("second", type=RUN)
@click.option("--first-too", type=RUN, multiple=True, help="Another training of the first model; may be repeated.")
@click.option("--second-too", type=RUN, multiple=True, help="Another training of the second model; may be repeated.")
def compare(first: Path, second: Path, first_too: tuple[Path, ...], second_too: tuple[Path, ...]) -> None:
    """Compare two runs, or tables of predictions.

    By a paired bootstrap by patient, over all and within each view, and by the paper's t-test over replicates. Of
    several trainings of a model the mean of the AUCs is compared. The replicates are the trainings that are named; of a
    cross-validation alone, its folds.
    """
    groups = [
        [predictions_of(path) for path in (one, *more)] for one, more in ((first, first_too), (second, second_too))
    ]
    record: dict[str, object] = {"paired": {name: asdict(one) for name, one in paired_by_view(*groups).items()}}
    each = [_replicates(group) for group in groups]
    if min(len(group) for group in each) > 1:
        record["replicates"] = asdict(replicates(*each))
    click.echo(json.dumps(record, indent=1))


def _replicates(group: list[RunScores]) -> list[RunScores]:
    return group if len(group) > 1 else folds_of(group[0])


@click.command("average")
@click.argument("runs", type=click.Path(exists=True, file_okay=False, path_type=Path), nargs=-1, required=True)
@click.option("-o", "--out", required=True, type=FOLDER)
@device_option
def average_command(runs: tuple[Path, ...], out: Path, device: str) -> None:
    """Make one run of RUNS that differ in runtime.seed only: the mean of their weights, scored out of fold."""
    with process(device) as here:
        scored = average([TrainingRun.open(run) for run in runs], out, here)
        if scored is not None:
            click.echo(json.dumps(summary(scored), indent=1))


@click.group("figures")
def figures() -> None:
    """Draw finished runs."""


@figures.command("roc")
@click.argument("runs", type=RUN, nargs=-1, required=True)
@click.option("-o", "--out", type=NEW_FILE, required=True)
@click.option("--name", "names", multiple=True, help="Name of a run, in their order. [default: its folder's]")
def roc(runs: tuple[Path, ...], out: Path, names: tuple[str, ...]) -> None:
    """Draw overlaid ROC curves of RUNS, or of tables of predictions."""
    if names and len(names) != len(runs):
        raise click.UsageError(f"{len(names)} names for {len(runs)} runs")
    shown = names or tuple(path.stem for path in runs)
    plots.save(plots.overlaid_roc([(name, predictions_of(run)) for name, run in zip(shown, runs, strict=True)]), out)


@figures.command("sizes")
@click.argument("runs", type=RUN, nargs=-1, required=True)
@click.option("-o", "--out", type=NEW_FILE, required=True)
def sizes(runs: tuple[Path, ...], out: Path) -> None:
    """Draw the AUC of RUNS by architecture and image size."""
    plots.save(plots.architectures_by_size([plots.measured_run(run) for run in runs]), out)


@figures.command("learning-curve")
@click.argument("runs", type=RUN, nargs=-1, required=True)
@click.option("-o", "--out", type=NEW_FILE, required=True)
def curve(runs: tuple[Path, ...], out: Path) -> None:
    """Draw the AUC over the number of training images of RUNS, folders of the command learning-curve."""
    plots.save(plots.learning_curve([plots.limited_run(run) for run in runs]), out)


COMMANDS: tuple[click.Command, ...] = (
    grid,
    ablate,
    learning_curve,
    compare,
    compare_curves,
    average_command,
    figures,
    *PLAN_COMMANDS,
)
