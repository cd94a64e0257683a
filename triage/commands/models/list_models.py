"""``triage models list``: every installed model, whom it serves, its state, and what no model serves."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, open_spool, start_errors


@click.command("list")
@given
def command(invocation: Invocation) -> None:
    """List the models with whom each serves, the terms of its weights and its state, and what none of them serves.

    The plug-ins that the settings enable follow, each with version, digest and place.
    """
    settings = invocation.settings()
    from triage.commands.output.models import show_holes, show_models, show_plugins
    from triage.service.models import registry_history

    with start_errors():
        history = registry_history(settings)
        show_models(settings.models, open_spool(settings).model_switches.disabled(), history)
        show_plugins(settings.plugins)
        show_holes(settings.models, history)
