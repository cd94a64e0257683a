"""``triage models show``: one model, its findings and figures, and the acts of persons on it."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, start_errors


@click.command("show")
@click.argument("folder")
@given
def command(invocation: Invocation, folder: str) -> None:
    """Show the model FOLDER: findings with operating points and figures, intended use, limits, and acts on it."""
    settings = invocation.settings()
    from triage.commands.output.models import show_model
    from triage.model.card import CARD, load_card
    from triage.model.installed import models_folder
    from triage.service.models import registry_history

    with start_errors():
        models = models_folder(settings.models.path)
        if "/" in folder or not (models / folder / CARD).is_file():
            raise click.ClickException(f"no model folder {folder} in {models}: `triage models list` lists them")
        show_model(load_card(models / folder), registry_history(settings), folder)
