"""``triage models promote``: put one version of a model into service."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, one_line


@click.command("promote")
@click.argument("folder")
@click.option("--reason", required=True, callback=one_line, help="Why, for the audit trail.")
@given
def command(invocation: Invocation, folder: str, reason: str) -> None:
    """Put the version in FOLDER (NAME or NAME@VERSION) into service when `work` starts next.

    Other versions of its name leave it. Refused where the models in service would then overlap, or a setting names
    what is not there. A version that was retired is taken back.
    """
    from triage.commands.output.models import change_registry
    from triage.model.versions import RegistryAct

    change_registry(invocation.settings(), RegistryAct.PROMOTE, folder, reason)
    click.echo(f"{folder} is in service from the next start of `triage work`, and not before")
