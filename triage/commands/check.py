"""``triage check``: whether the service would run as it is set up, before it is started."""

from __future__ import annotations

import sys

import click

from triage.commands.base import Invocation, given
from triage.runtime.logs import set_up_logs


@click.command()
@given
def check(invocation: Invocation) -> None:
    """Try folders, disk, clock, sign-in, Redis, certificates, destinations and models, and say what to do.

    Changes nothing, and may be called while the service runs; into the bucket of a store that hosts share a small
    object is put, and removed. Destinations are reached, and get no message; a PACS
    gets a C-ECHO; an identity provider is asked for its document, without a sign-in. Status 1 if something failed,
    0 with warnings alone, 78 if the settings cannot be read.
    """
    loaded = invocation.load()
    debugging = loaded.settings.log.level == "DEBUG"
    set_up_logs("DEBUG" if debugging else "CRITICAL")  # what is wrong is in the lines
    from triage.operations.visible import visible
    from triage.service.check.everything import check_everything
    from triage.service.check.finding import Level

    counts = dict.fromkeys(Level, 0)
    for each in check_everything(loaded, invocation.environment):
        counts[each.level] += 1
        click.echo(f"{each.level:<8} {each.subject}: {visible(each.finding)}")
    click.echo(
        f"{counts[Level.FAILED]} failed, {counts[Level.WARNING]} to know of, {counts[Level.OK]} as they should be"
    )
    sys.exit(1 if counts[Level.FAILED] else 0)
