"""``triage healthcheck``: whether a process is ready."""

from __future__ import annotations

import sys

import click

from triage.commands.base import Invocation, given


@click.command()
@click.option("--url", default=None, help="Address to ask; default: the web process of the settings.")
@given
def healthcheck(invocation: Invocation, url: str | None) -> None:
    """End with status 0 if a process is ready (used by containers)."""
    settings = invocation.settings()
    from triage.runtime.health import is_ready

    ready, answer = is_ready(url or f"http://{settings.web.host}:{settings.web.port}/readyz")
    click.echo(answer)
    sys.exit(0 if ready else 1)
