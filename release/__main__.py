"""Command ``python -m release``: builds the products. `make dist`, `make deb` and `make bundle` call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from release.bundle import build_bundle
from release.debian_package import build_package
from release.errors import ReleaseError
from release.image_digests import write_digests
from release.wheels import build_wheels

CHECKOUT = Path(__file__).parents[1]
OUT = click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("dist"), show_default=True
)


WHEELHOUSE = click.option(
    "--wheelhouse",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/wheelhouse"),
    show_default=True,
    help="Folder of third-party wheels; missing ones are fetched.",
)


class _Group(click.Group):
    """Commands whose errors are shown as their message alone."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises ClickException with the message of a ReleaseError."""
        try:
            return super().invoke(ctx)
        except ReleaseError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, name="python -m release")
def main() -> None:
    """Build the products that a hospital installs."""


@main.command()
@OUT
def wheels(out: Path) -> None:
    """Build the wheels of code and models."""
    for wheel in build_wheels(CHECKOUT, out):
        click.echo(wheel)


@main.command()
@OUT
@WHEELHOUSE
@click.option("--version", default="", help="Debian's version. [default: that of the code]")
def deb(out: Path, wheelhouse: Path, version: str) -> None:
    """Build the Debian package."""
    click.echo(build_package(CHECKOUT, out, wheelhouse, version))


@main.command()
@OUT
@WHEELHOUSE
@click.option(
    "--pins",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=CHECKOUT / "requirements/serve-cpu.txt",
    help="The packages to include. [default: requirements/serve-cpu.txt]",
)
@click.option(
    "--sign-with", "key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="minisign's secret key."
)
def bundle(out: Path, wheelhouse: Path, pins: Path, key: Path | None) -> None:
    """Build the bundle for machines without a network."""
    if key is None:
        click.echo("not signed: --sign-with names minisign's secret key", err=True)
    click.echo(build_bundle(CHECKOUT, out, pins, wheelhouse, key))


@main.command()
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("deploy/compose.digests.yaml"),
    show_default=True,
)
def digests(target: Path) -> None:
    """Ask the registries for the digests of third-party images."""
    for image in write_digests(CHECKOUT, target):
        click.echo(image)
    click.echo(target)


if __name__ == "__main__":
    main()
