"""``triage canary``: one made study sent through everything."""

from __future__ import annotations

import sys

import click

from triage.commands.base import Invocation, given, open_spool, redis_url, start_errors


@click.command()
@given
def canary(invocation: Invocation) -> None:
    """Send a canary now, print each stage that it passes, and remove it; status 0 if it passes all."""
    settings = invocation.settings()
    from triage.commands.output.canary import send_and_show

    with start_errors():
        sys.exit(0 if send_and_show(settings, open_spool(settings), redis_url(settings)) else 1)
