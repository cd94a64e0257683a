"""The commands of validation, apart from those of the service. ``triage.cli`` adds them and reads the environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from triage.errors import EXIT_CANNOT_START, StartError

NOT_PASSED = 1
_PATH = click.Path(path_type=Path)  # what is not there is found by whoever reads it, who can say what it is for


@click.command()
@click.option("--model", required=True, type=_PATH, help="Model folder.")
@click.option("--cohort", "manifest", required=True, type=_PATH, help="Manifest (CSV): image, label, patient, ...")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the result.")
@click.option("--split", default="", help="Only this split of the manifest.")
@click.option("--require", multiple=True, metavar="BAR", help="A bar, as auc_lower>=0.95 (several allowed).")
@click.option("--prevalence", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Share of positives.")
@click.option("--versus", multiple=True, type=_PATH, help="Another model folder or file of scores (several allowed).")
@click.option("--readers", multiple=True, type=_PATH, help="Readers' calls: image, reader, label (several allowed).")
@click.option("--replicate", "replicates", multiple=True, type=_PATH, help="Scores of a retraining of this model.")
@click.option("--versus-replicate", "versus_replicates", multiple=True, type=_PATH, help="Scores of another's.")
@click.option("--scores", type=_PATH, help="Measure these scores (out of fold: oof.json) instead of the model's.")
@click.option("--boxes", type=_PATH, help="NIH's BBox_List_2017.csv, for the pointing game.")
@click.option("--paper", default=None, help="Compare with a cohort of Tang et al. 2020: its name.")
@click.option("--images/--no-images", default=True, help="Radiographs in the report.  [default: with images]")
@click.option("--exclude-training-patients", is_flag=True, help="Leave out patients whom the card names.")
@click.option("--any-age", is_flag=True, help="Score patients of ages that the card does not cover.")
@click.option("--allow-duplicates", is_flag=True, help="Let files of the same bytes through.")
@click.option("--dicom", is_flag=True, help="Send the images through the running service of the settings.")
@click.option("--rounds", default=2000, show_default=True, help="Rounds of the bootstrap.")
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap.")
@click.pass_context
def validate(context: click.Context, /, **options: Any) -> None:
    """Measure a model on a labelled cohort, through the service's own path.

    Writes metrics.json, report.html and predictions.csv; an ended run goes on where it was. Status 0 only if every bar
    that was asked for holds, in the worst case and on interval bounds.
    """
    settings = context.obj["settings"]()
    try:
        from triage.validation.show import run_validation

        passed = run_validation(settings, options)
    except ModuleNotFoundError as error:
        raise _CannotStart(f"{error.name} is not installed: pip install 'cxr-triage[validate]'") from error
    except StartError as error:
        raise _CannotStart(str(error)) from error
    sys.exit(0 if passed else NOT_PASSED)


@click.command()
@click.option("--data", type=_PATH, help="Folder of the lists; default: TRIAGE_DATA.")
@click.option("--readers", type=_PATH, help="Readers' calls beside them: image, reader, label.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the page there instead of printing."
)
@click.pass_context
def agreement(context: click.Context, data: Path | None, readers: Path | None, out: Path | None) -> None:
    """Recompute from the published lists what Tang et al. report of their labels and readers."""
    from triage.validation.agreement_page import page

    folder = data or context.obj["data"]
    if folder is None:
        raise _CannotStart("give --data, or set TRIAGE_DATA to the folder that holds nih-tang-splits")
    try:
        _deliver(page(folder, readers), out)
    except StartError as error:
        raise _CannotStart(str(error)) from error


@click.command()
@click.argument("folder", type=_PATH)
@click.option("--metrics", multiple=True, type=_PATH, help="A metrics.json of this model (several allowed).")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the page there instead of printing."
)
def card(folder: Path, metrics: tuple[Path, ...], out: Path | None) -> None:
    """Write the card of the model in FOLDER as a page, after CLAIM 2024 and TRIPOD+AI."""
    from triage.model.card import load_card
    from triage.validation.card_page import card_page, read_metrics

    try:
        _deliver(card_page(load_card(folder.resolve()), [read_metrics(file) for file in metrics]), out)
    except StartError as error:
        raise _CannotStart(str(error)) from error


def _deliver(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")


class _CannotStart(click.ClickException):
    exit_code = EXIT_CANNOT_START
