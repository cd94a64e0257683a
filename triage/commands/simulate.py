"""``triage simulate``: what an order of reading changes for waiting patients."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands import CommandSection
from triage.commands.base import start_errors

SECTION = CommandSection.RESEARCH


@click.command()
@click.argument("scenario", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--example", is_flag=True, help="Print a scenario to start from, and end.")
@click.option("--metrics", type=click.Path(dir_okay=False, path_type=Path), help="metrics.json of triage validate.")
@click.option("--point", default=None, help="Which operating point of it; needed if it has several.")
@click.option("--replications", type=click.IntRange(2), default=None, help="Overrides that of the scenario.")
@click.option("--weeks", type=click.IntRange(1), default=None, help="Overrides that of the scenario.")
@click.option("--seed", type=click.IntRange(0), default=None, help="Overrides that of the scenario.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for tables, JSON and figures.")
def simulate(
    scenario: Path | None,
    example: bool,
    metrics: Path | None,
    point: str | None,
    out: Path | None,
    **run: int | None,
) -> None:
    """Estimate what triage changes for waiting patients, in the reading room of SCENARIO (TOML)."""
    from triage.commands.output.simulate import run as simulated
    from triage.simulation.scenario import EXAMPLE

    if example:
        click.echo(EXAMPLE, nl=False)
        return
    if scenario is None:
        raise click.UsageError("name a scenario; triage simulate --example prints one to start from")
    with start_errors():
        options = {name: value for name, value in run.items() if value is not None}
        click.echo(simulated(scenario, metrics, point, options, out), nl=False)
