"""``python -m release``: builds what is given away. `make dist`, `make deb` and `make bundle` call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from release.errors import ReleaseError
from release.wheels import build_wheels

CHECKOUT = Path(__file__).parents[1]
OUT = click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("dist"), show_default=True
)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ReleaseError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, name="python -m release")
def main() -> None:
    """Build what a hospital installs."""


@main.command()
@OUT
def wheels(out: Path) -> None:
    """Build the wheels of code and models."""
    for wheel in build_wheels(CHECKOUT, out):
        click.echo(wheel)


if __name__ == "__main__":
    main()
