"""Command ``python -m export RUN -o models/NAME``: from a finished run to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from export.description import read_description
from export.release import ReleaseOptions, release
from export.torchxrayvision.command import torchxrayvision
from training.runs.devices import process
from training.runs.run import TrainingRun
from triage.errors import TriageError

OF_RUN = "of-run"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _RunOrOrigin(click.Group):
    """The origin of a model as the first word, or else the folder of a run."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Put the command for runs before a first word that is no command."""
        if arguments and arguments[0] not in self.commands and arguments[0] not in ("--help", "-h"):
            arguments = [OF_RUN, *arguments]
        return super().parse_args(context, arguments)


@click.group(name="python -m export", cls=_RunOrOrigin)
def main() -> None:
    """Make a model folder: of a RUN of training (the word `of-run` may be left out), or of a published model."""


@main.command(OF_RUN)
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The model folder, models/NAME.")
@click.option("--card", type=FILE, help="Description of the model. [default: export/cards/NAME.toml]")
@click.option("--member", help="Ship one fold of a cross-validation: its number, or best (out of fold).")
@click.option(
    "--judge-by",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="RUN trained on all patients: the cross-validation of the same recipe, by which it is judged.",
)
@click.option("--calibrate-on", type=FILE, help="Patients that the run has not seen. [default: what it held out]")
@click.option("--calibrate-split", "calibrate_splits", multiple=True, help="Only rows of this split of --calibrate-on.")
@click.option("--calibration", type=click.Choice(["platt", "temperature", "none"]), default="platt", show_default=True)
@click.option("--centre", is_flag=True, help="Move 0.5 to where held-out sensitivity and specificity are equal.")
@click.option("--chests", type=FILE, multiple=True, help="More rows of chests, for the distance limit.")
@click.option("--test", type=FILE, help="A test manifest for the card.")
@click.option("--test-split", "test_splits", multiple=True, help="Only rows of this split of --test.")
@click.option("--look-at-test", is_flag=True, help="Score --test; the look is counted in the run.")
@click.option("--variant", type=click.Choice(["fp32", "fp16", "int8"]), default="fp32", show_default=True)
def of_run(run: Path, out: Path, card: Path | None, **options: Any) -> None:
    """Export RUN, through the parity gate. Nothing is written where a gate is not passed."""
    try:
        with process("cpu") as here:
            written = release(
                TrainingRun.open(run), read_description(card, out.name), out, ReleaseOptions(**options), here
            )
    except TriageError as error:
        raise click.ClickException(str(error)) from error
    for measured in written.performance:
        for name, figure in measured.figures.items():
            interval = f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}), n {figure.n}"
            click.echo(f"{measured.cohort}: {name} {interval}")
    use = "demo" if written.demo else "for use as its card says"
    click.echo(f"{out}: {use}, distance limit {written.distance_limit}; {written.activation_map}")


main.add_command(torchxrayvision)
