"""``python -m export RUN --card CARD.toml -o models/NAME``: from a finished run to a model folder."""

from __future__ import annotations

import os
from pathlib import Path

import click

from export.members import open_run
from export.release import ParityError, release
from training.cohorts import CohortError


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--card", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The model folder, models/NAME.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Cohorts; default: TRIAGE_DATA.")
@click.option("--look-at-test", is_flag=True, help="Score the official test part: once, for a release.")
def main(run: Path, card: Path, out: Path, data: Path | None, look_at_test: bool) -> None:
    """Export RUN with what CARD says of it."""
    folder = data or Path(os.environ.get("TRIAGE_DATA", ""))
    try:
        written = release(open_run(run), card, folder, out, look_at_test=look_at_test)
    except (ParityError, CohortError) as error:
        raise click.ClickException(str(error)) from error
    for measured in written.performance:
        for name, figure in measured.figures.items():
            click.echo(
                f"{measured.cohort}: {name} {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}), n {figure.n}"
            )
    click.echo(
        f"{out}: {'demo' if written.demo else 'for use as its card says'}, distance limit {written.distribution.limit}"
    )


if __name__ == "__main__":
    main()
