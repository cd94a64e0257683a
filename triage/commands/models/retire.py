"""``triage models retire``: take one version of a model out of service for good."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, one_line


@click.command("retire")
@click.argument("folder")
@click.option("--reason", required=True, callback=one_line, help="Why, for the audit trail.")
@given
def command(invocation: Invocation, folder: str, reason: str) -> None:
    """Take the version in FOLDER out of service from the next start of `work`; `triage models promote` takes it back.

    To stop a model at once: `triage models disable NAME`.
    """
    from triage.commands.output.models import change_registry
    from triage.model.versions import RegistryAct, name_in

    serving = change_registry(invocation.settings(), RegistryAct.RETIRE, folder, reason)
    click.echo(f"{folder} is loaded no more from the next start of `triage work`; now: `triage models disable`")
    name = name_in(folder)
    click.echo(
        f"{serving} serves in its place from then on" if serving else f"no version of {name} serves from then on"
    )
