"""``triage validate``: a model measured on a labelled cohort."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from triage.commands import CommandSection
from triage.commands.base import PATH, CannotStart, Invocation, given, start_errors

NOT_PASSED = 1


SECTION = CommandSection.RESEARCH


@click.command()
@click.option("--model", required=True, type=PATH, help="Model folder.")
@click.option("--cohort", "manifest", required=True, type=PATH, help="Manifest (CSV): image, label, patient, ...")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the result.")
@click.option("--split", default="", help="Only this split of the manifest.")
@click.option("--require", multiple=True, metavar="BAR", help="A bar, as auc_lower>=0.95.")
@click.option("--prevalence", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Share of positives.")
@click.option("--versus", multiple=True, type=PATH, help="Another model folder or file of scores.")
@click.option("--readers", multiple=True, type=PATH, help="Readers' calls: image, reader, label.")
@click.option("--replicate", "replicates", multiple=True, type=PATH, help="Scores of a retraining of this model.")
@click.option("--versus-replicate", "versus_replicates", multiple=True, type=PATH, help="Scores of another's.")
@click.option("--scores", type=PATH, help="Measure these scores (out of fold: oof.json) instead of the model's.")
@click.option("--boxes", type=PATH, help="NIH's BBox_List_2017.csv, for the pointing game.")
@click.option("--paper", default=None, help="Compare with a cohort of Tang et al. 2020: its name.")
@click.option("--images/--no-images", default=True, help="Radiographs in the report.  [default: with images]")
@click.option(
    "--exclude-training-patients", is_flag=True, help="Leave out images that the model learnt from, and their patients."
)
@click.option("--any-age", is_flag=True, help="Score patients of ages that the card does not cover.")
@click.option("--allow-duplicates", is_flag=True, help="Let files of the same bytes through.")
@click.option("--dicom", is_flag=True, help="Send the images through the running service of the settings.")
@click.option("--rounds", default=2000, show_default=True, help="Rounds of the bootstrap.")
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--choose", metavar="RULE", help="Choose operating points by a rule, as sensitivity_lower>=0.95.")
@click.option("--finding", default="", help="Finding whose points are chosen.  [default: the leading one]")
@click.option("--by", multiple=True, metavar="STRATUM", help="Points by view, age=FROM,FROM,... or station, too.")
@click.option(
    "--check-cohort", type=PATH, help="Other cases that check the points.  [default: two thirds of the patients]"
)
@click.option("--points", type=PATH, help="File that the points go to.  [default: operating-points.json in --out]")
@click.option("--reason", default="", help="Why a station needs a point of its own.")
@given
def validate(invocation: Invocation, /, **options: Any) -> None:
    """Measure a model on a labelled cohort, through the service's own path.

    Writes metrics.json, report.html and predictions.csv; an ended run goes on where it was. Status 0 only if every bar
    that was asked for holds, in the worst case and on interval bounds. With --choose, some cases choose operating
    points and others check them; status 0 only if a point was certified, and written.
    """
    settings = invocation.settings()
    try:
        from triage.commands.output.validate import run_validation

        with start_errors():
            passed = run_validation(settings, options)
    except ModuleNotFoundError as error:
        raise CannotStart(f"{error.name} is not installed: pip install 'cxr-triage[validate]'") from error
    sys.exit(0 if passed else NOT_PASSED)
