"""``triage paging``: the state of paging, and a test page."""

from __future__ import annotations

import click

from triage.commands.base import Invocation, given, open_spool


@click.command()
@click.option(
    "--test",
    "rota",
    type=click.Choice(["reading", "quiet"]),
    help="Send a test page, which is about no patient, to every route of this rota.",
)
@given
def paging(invocation: Invocation, rota: str | None) -> None:
    """Show the state of paging: the rota, studies that are watched, pages that wait or could not be delivered.

    Status 1 if there is an alarm, or if a route does not take the test page.
    """
    settings = invocation.settings()
    if not settings.paging.on and rota is None:
        click.echo("paging is switched off (paging.after_minutes)")
        return
    from triage.commands.output.paging import send_test, show_state

    passed = send_test(settings, rota) if rota is not None else show_state(open_spool(settings))
    raise SystemExit(0 if passed else 1)
