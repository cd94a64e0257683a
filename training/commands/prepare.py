"""Commands ``prepare COHORT`` and ``join``: manifests from published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from training.commands.options import MessageCommand
from training.prepare.cohort import CohortFacts, CohortKind, PreparedCohort
from training.prepare.crosswalk import read_crosswalk
from training.prepare.join import join as join_manifests
from training.prepare.options import folds, seed
from training.prepare.publish import CohortSource, finish, summary
from training.prepare.registry import COHORTS

SOURCE = click.Path(exists=True, path_type=Path)
MANIFEST = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, path_type=Path)
PARTIAL_HELP = "Write a manifest of what is there when files are missing or counts differ, and say so in it."


@click.group()
def prepare() -> None:
    """Make a manifest of a cohort from the files as their owner publishes them, and check them."""


def _command(cohort: CohortKind[Any]) -> click.Command:
    def run(source: Path, out: Path, allow_partial: bool, **values: Any) -> None:
        prepared = cohort.prepare_with(source, values)
        written = finish(cohort, prepared, CohortSource(source, values), out, allow_partial=allow_partial)
        click.echo(summary(out, written))

    common: list[click.Parameter] = [
        click.Option(["--source"], required=True, type=SOURCE, help="Folder (or table) that holds the cohort."),
        click.Option(["--out"], required=True, type=OUT, help="The manifest to write, e.g. nih.csv."),
        click.Option(["--allow-partial"], is_flag=True, help=PARTIAL_HELP),
    ]
    return MessageCommand(
        cohort.name, callback=run, params=[*common, *cohort.options], help=f"{cohort.title}. Terms: {cohort.terms}."
    )


for _cohort in COHORTS.values():
    prepare.add_command(_command(_cohort))


@click.command(cls=MessageCommand)
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
    known = read_crosswalk(crosswalk) if crosswalk else {}
    joined = join_manifests(manifests, known, drop_leaking=drop_leaking, folds=folds, seed=seed)
    names = " + ".join(path.name for path in manifests)
    about = CohortFacts("join", f"Joined of {names}", "those of the joined manifests")
    prepared = PreparedCohort(
        joined.rows,
        warnings=joined.warnings,
        notes={"rows dropped for leaking": joined.dropped},
        from_partial=joined.partial,
    )
    options = {"crosswalk": crosswalk, "drop_leaking": drop_leaking, "folds": folds, "seed": seed}
    written = finish(about, prepared, CohortSource(out.parent, options), out, allow_partial=False)
    click.echo(summary(out, written))


join.params += [folds(), seed()]
