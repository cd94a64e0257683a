"""``triage model``: the models, and the kill switch of each."""

from __future__ import annotations

from pathlib import Path

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
    from triage.commands.output.models import show_models

    if action and not name:
        raise click.UsageError(f"which model is to be {action}d? `triage model` lists them")
    spool = open_spool(settings)
    if name and action:
        if name not in spool.model_switches.disabled():
            _check_installed(name, settings.models.path)
        try:
            spool.model_switches.set_disabled(name, action == "disable")
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    with start_errors():
        show_models(settings.models, spool.model_switches.disabled())


def _check_installed(name: str, path: Path | None) -> None:
    """ClickException unless there is a model of this name; CannotStart if there are no models at all."""
    from triage.model.card import CARD
    from triage.model.installed import models_folder

    with start_errors():
        folder = models_folder(path)
    if not (folder / name / CARD).is_file():
        raise click.ClickException(f"no model {name} in {folder}: `triage model` lists them")
