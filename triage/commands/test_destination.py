"""``triage test-destination``: a destination tried without any patient's data."""

from __future__ import annotations

import sys

import click

from triage.commands.base import Invocation, given, start_errors


@click.command("test-destination")
@click.argument("name")
@given
def test_destination(invocation: Invocation, name: str) -> None:
    """Try destination NAME without any patient's data, and say in words what was found."""
    settings = invocation.settings()
    from triage.commands.output.channels import test_destination as try_it
    from triage.service.plugins import channel_plugins

    with start_errors():
        sys.exit(0 if try_it(settings.channels, name, channel_plugins(settings.plugins)) else 1)
