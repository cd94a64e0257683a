"""``python -m training prepare COHORT`` and ``python -m training join``: manifests from published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from training.prepare.cohort import CohortFacts, CohortKind, PreparedCohort
from training.prepare.crosswalk import read_crosswalk
from training.prepare.join import join as join_manifests
from training.prepare.options import folds, seed
from training.prepare.publish import finish, summary
from training.prepare.registry import COHORTS
from triage.errors import StartError

SOURCE = click.Path(exists=True, path_type=Path)
MANIFEST = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, path_type=Path)
PARTIAL_HELP = "Write a manifest of what is there when files are missing or counts differ, and say so in it."


@click.group()
def prepare() -> None:
    """Make a manifest of a cohort from the files as their owner publishes them, and check them."""


def _command(cohort: CohortKind) -> click.Command:
    def run(source: Path, out: Path, allow_partial: bool, **values: Any) -> None:
        try:
            prepared = cohort.prepare(source, **values)
            click.echo(summary(out, finish(cohort, prepared, source, values, out, allow_partial=allow_partial)))
        except StartError as error:
            raise click.ClickException(str(error)) from error

    common: list[click.Parameter] = [
        click.Option(["--source"], required=True, type=SOURCE, help="Folder (or table) that holds the cohort."),
        click.Option(["--out"], required=True, type=OUT, help="The manifest to write, e.g. nih.csv."),
        click.Option(["--allow-partial"], is_flag=True, help=PARTIAL_HELP),
    ]
    return click.Command(
        cohort.name, callback=run, params=[*common, *cohort.options], help=f"{cohort.title}. Terms: {cohort.terms}."
    )


for _cohort in COHORTS.values():
    prepare.add_command(_command(_cohort))


@click.command()
@click.argument("manifests", nargs=-1, required=True, type=MANIFEST)
@click.option("--out", required=True, type=OUT, help="The manifest to write.")
@click.option("--crosswalk", type=MANIFEST, help="RSNA's mapping to NIH's images; needed where the two meet.")
@click.option(
    "--drop-leaking", is_flag=True, help="Drop the training rows of patients that another manifest holds out."
)
def join(
    manifests: tuple[Path, ...], out: Path, crosswalk: Path | None, drop_leaking: bool, folds: int, seed: int
) -> None:
    """Join MANIFESTS into one; a patient on two sides of a split is an error."""
    try:
        known = read_crosswalk(crosswalk) if crosswalk else {}
        joined = join_manifests(manifests, known, drop_leaking=drop_leaking, folds=folds, seed=seed)
        names = " + ".join(path.name for path in manifests)
        about = CohortFacts("join", f"Joined of {names}", "those of the joined manifests")
        prepared = PreparedCohort(
            joined.rows, warnings=joined.warnings, notes={"rows dropped for leaking": joined.dropped}
        )
        options = {"crosswalk": crosswalk, "drop_leaking": drop_leaking, "folds": folds, "seed": seed}
        written = finish(
            about, prepared, out.parent, options, out, allow_partial=False, made_from_partial=joined.partial
        )
        click.echo(summary(out, written))
    except StartError as error:
        raise click.ClickException(str(error)) from error


join.params += [folds(), seed()]
