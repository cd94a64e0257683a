"""``triage demo``: everything, with sample studies."""

from __future__ import annotations

import sys

import click

from triage.commands.base import Invocation, given, open_spool, run_role, start_errors


@click.command()
@click.option("--exit", "ends", is_flag=True, help="End once every sample is tagged; status 1 if any is lost.")
@given
@click.pass_context
def demo(context: click.Context, invocation: Invocation, ends: bool) -> None:
    """Run everything, send sample studies to our own DICOM port and print the worklist as tags land."""
    settings = invocation.settings()
    from triage.commands.output.demo import run

    open_spool(settings)
    with start_errors():
        sys.exit(run(settings, invocation.environment, run_role(context, invocation), ends))
