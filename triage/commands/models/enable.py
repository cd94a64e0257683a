"""``triage models enable``: the kill switch of a model."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given


@click.command("enable")
@click.argument("name")
@given
def command(invocation: Invocation, name: str) -> None:
    """Switch model NAME on again, for what comes from now on."""
    from triage.commands.output.models import switch_model

    switch_model(invocation.settings(), name, disabled=False)
