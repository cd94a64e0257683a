"""``triage channel``: the destinations of results, and the kill switch of each."""

from __future__ import annotations

import time

import click

from triage.commands.base import Invocation, given, open_spool
from triage.settings.reference import channels_reference


@click.command()
@click.argument("name", required=False)
@click.option("--disable", "action", flag_value="disable", help="Kill switch: nothing is sent there from now on.")
@click.option("--enable", "action", flag_value="enable", help="Switch it on again; what waited is sent.")
@click.option("--drop", "action", flag_value="drop", help="Forget all that waits or is dead for it.")
@click.option("--reference", "print_reference", is_flag=True, help="Print the settings of destinations, and end.")
@given
def channel(invocation: Invocation, name: str | None, action: str | None, print_reference: bool) -> None:
    """List the destinations of results, or switch destination NAME off or on.

    --disable is the kill switch; --enable takes it back and sends what waited; --drop removes what waits and the
    dead letters.
    """
    if print_reference:
        click.echo(channels_reference(), nl=False)
        return
    settings = invocation.settings()
    from triage.commands.output.channels import show_channels
    from triage.delivery.outbox import Outbox
    from triage.operations.dead_letters import drop

    outbox = Outbox(open_spool(settings))
    if name and name not in outbox.known() | {each.name for each in settings.channels.all()}:
        raise click.ClickException(f"no destination is called {name!r}")
    if name and action == "drop":
        click.echo(f"{drop(outbox, name, time.time())} forgotten")
    elif name and action:
        outbox.set_disabled(name, action == "disable")
    show_channels(settings.channels, outbox, time.time())
