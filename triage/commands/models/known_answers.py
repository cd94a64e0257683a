"""``triage models known-answers``: the folder of a model that lives at a server."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands.base import PATH, Invocation, given, start_errors


@click.command("known-answers")
@click.argument("folder", type=PATH)
@click.option("--like", type=PATH, help="Model folder of this machine whose graph the server serves: FOLDER is made.")
@click.option(
    "--batch", type=click.IntRange(1, 64), default=2, show_default=True, help="With --like: images a request."
)
@click.option(
    "--columns", type=click.IntRange(1), default=1, show_default=True, help="Without --like: columns of the output."
)
@given
def command(invocation: Invocation, folder: Path, like: Path | None, batch: int, columns: int) -> None:
    """Write the known answers of FOLDER, whose model lives at a server, and their digest into its card.

    They are those of the graph of --like; without it, what the server that open_inference.servers names says now: do
    that with the very model that is validated. The images are drawn, of no patient.
    """
    settings = invocation.settings()
    from triage.service.known_answers import copy_for_server, pin_to_server
    from triage.service.models import remote_access

    folder = folder.resolve()
    with start_errors():
        if like is not None:
            card = copy_for_server(like.resolve(), folder, batch)
        else:
            card = pin_to_server(folder, remote_access(settings.open_inference).get(folder.name), columns)
    click.echo(f"{folder}: known answers {card.model_sha256}")
