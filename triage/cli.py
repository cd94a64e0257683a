"""The ``triage`` program: the commands of ``triage.commands``. The only module that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from triage.commands import CommandSection, registered_commands
from triage.commands.base import Invocation, TryAgain, run_program
from triage.settings.renamed import COMMANDS
from triage.spool.errors import engine_away


class Program(click.Group):
    """The commands under their headings; former names work with a warning."""

    renamed: Mapping[str, str] = COMMANDS

    def invoke(self, context: click.Context) -> Any:
        """Run the command; an error whose cause is an engine that does not answer gets the status for that."""
        try:
            return super().invoke(context)
        except click.ClickException as error:
            if engine_away(error) is None:
                raise
            raise TryAgain(error) from error

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command of that name, or of the name that replaced it."""
        if new := self.renamed.get(name):
            click.echo(
                f"`triage {name}` is called `triage {new}` now; the old name goes with the next release", err=True
            )
        return super().get_command(context, new or name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, each with the first sentence of its help."""
        for section in CommandSection:
            commands = [each.command for each in registered_commands() if each.section is section]
            with formatter.section(section.value):
                formatter.write_dl([(command.name or "", command.get_short_help_str(80)) for command in commands])


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cxr-triage", message="%(package)s %(version)s")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.pass_context
def triage(context: click.Context, config: Path | None) -> None:
    """Score frontal chest radiographs as they arrive and propose a reading order, to be evaluated next to routine.

    Research use; not a medical device.
    """
    # `triage up` runs the commands of its processes with the invocation that it got itself.
    context.obj = context.obj or Invocation(config, _path("TRIAGE_DATA"), os.environ)


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


for registered in registered_commands():
    triage.add_command(registered.command)


def main() -> None:
    """Run the ``triage`` script; see ``run_program``. Its files are its owner's alone."""
    os.umask(0o077)
    # Before OpenCV is loaded: after each call its threads would look for the next one for half a millisecond.
    os.environ.setdefault("OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER", "0")
    run_program(triage)


if __name__ == "__main__":
    main()
