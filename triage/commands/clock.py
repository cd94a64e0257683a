"""``triage clock``: what is known of this machine's clock, and a person's word that it is right."""

from __future__ import annotations

import time

import click

from triage.commands.base import Invocation, given, open_spool


@click.command()
@click.option("--trust", is_flag=True, help="Say that the clock is right now: look at the time that is printed first.")
@given
def clock(invocation: Invocation, trust: bool) -> None:
    """Show whether the clock may be believed in what cannot be undone, or say that it may.

    After a jump no study is removed and none leaves the list by age, until the clock has been steady for a day.
    """
    settings = invocation.settings()
    from triage.spool.clock import Clock

    known = Clock(open_spool(settings))
    state = known.trust() if trust else known.read()
    click.echo(time.strftime("it is %Y-%m-%d %H:%M:%S %Z by this machine"))
    if state is None:
        click.echo("no sweep has looked at the clock yet")
    elif state.is_steady:
        click.echo("believed: studies are removed after their retention and leave the list by age")
    else:
        why = f"it jumped by {state.jump_s:+.0f} s" if state.jump_s else "it has not been looked at for a day yet"
        click.echo(f"not believed: {why}; steady for {state.steady_s / 3600:.1f} h of 24")
        click.echo("nothing is removed until then; if the time above is right: triage clock --trust")
