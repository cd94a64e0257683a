"""``triage``: the commands of ``triage.commands`` put together. The only place that reads the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from triage.commands.agreement import agreement
from triage.commands.backup import backup
from triage.commands.base import Invocation
from triage.commands.canary import canary
from triage.commands.card import card
from triage.commands.channel import channel
from triage.commands.check import check
from triage.commands.clock import clock
from triage.commands.dead_letters import dead_letters
from triage.commands.deliver import deliver
from triage.commands.demo import demo
from triage.commands.explain import explain
from triage.commands.feedback import feedback
from triage.commands.healthcheck import healthcheck
from triage.commands.listen import listen
from triage.commands.migrate import migrate
from triage.commands.model import model
from triage.commands.predict import predict
from triage.commands.readers import readers
from triage.commands.reports import reports
from triage.commands.restore import restore
from triage.commands.send import send
from triage.commands.settings import settings
from triage.commands.shadow import shadow
from triage.commands.simulate import simulate
from triage.commands.sweep import sweep
from triage.commands.test_destination import test_destination
from triage.commands.up import up
from triage.commands.user import user
from triage.commands.validate import validate
from triage.commands.web import web
from triage.commands.work import work
from triage.commands.worklist import worklist
from triage.errors import EXIT_CANNOT_START
from triage.runtime.extras import what_to_install
from triage.settings.renamed import COMMANDS


class Program(click.Group):
    """The commands, by their former names, too, with a warning."""

    renamed: Mapping[str, str] = COMMANDS

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if new := self.renamed.get(name):
            click.echo(
                f"`triage {name}` is called `triage {new}` now; the old name goes with the next release", err=True
            )
        return super().get_command(context, new or name)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cxr-triage", message="%(package)s %(version)s")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.pass_context
def triage(context: click.Context, config: Path | None) -> None:
    """Scores frontal chest radiographs as they arrive and can propose a reading order, to be evaluated beside routine.

    Research use; not a medical device.
    """
    context.obj = Invocation(config, _path("TRIAGE_DATA"), os.environ)


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


for command in (
    agreement,
    backup,
    canary,
    card,
    channel,
    check,
    clock,
    dead_letters,
    deliver,
    demo,
    explain,
    feedback,
    healthcheck,
    listen,
    migrate,
    model,
    predict,
    readers,
    reports,
    restore,
    send,
    settings,
    shadow,
    simulate,
    sweep,
    test_destination,
    up,
    user,
    validate,
    web,
    work,
    worklist,
):
    triage.add_command(command)


def main() -> None:
    """Entry point of the ``triage`` script; status 78 with a line where a package of an extra is missing.

    What it and its child processes write is for their owner alone.
    """
    os.umask(0o077)
    try:
        triage()
    except ModuleNotFoundError as error:
        lacking = what_to_install(error, "this command")
        if lacking is None:
            raise
        sys.stderr.write(f"Error: {lacking}\n")
        sys.exit(EXIT_CANNOT_START)


if __name__ == "__main__":
    main()
