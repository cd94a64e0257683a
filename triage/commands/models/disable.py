"""``triage models disable``: the kill switch of a model."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given


@click.command("disable")
@click.argument("name")
@given
def command(invocation: Invocation, name: str) -> None:
    """Switch model NAME off: it scores nothing from now on."""
    from triage.commands.output.models import switch_model

    switch_model(invocation.settings(), name, disabled=True)
