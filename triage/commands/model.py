"""``triage model``: the models, and the kill switch of each."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, open_spool, start_errors


@click.command()
@click.argument("name", required=False)
@click.option("--disable", "action", flag_value="disable", help="Kill switch: the model scores nothing from now on.")
@click.option("--enable", "action", flag_value="enable", help="Switch it on again.")
@given
def model(invocation: Invocation, name: str | None, action: str | None) -> None:
    """List the models, or switch model NAME off or on.

    The list has the terms of the weights. --disable is the kill switch, for everything scored from then on;
    --enable takes it back.
    """
    settings = invocation.settings()
    from triage.commands.output.models import show_models, switch_model
    from triage.service.models import registry_history

    if action and not name:
        raise click.UsageError(f"which model is to be {action}d? `triage model` lists them")
    if name and action:
        switch_model(settings, name, disabled=action == "disable")
    with start_errors():
        show_models(settings.models, open_spool(settings).model_switches.disabled(), registry_history(settings))
