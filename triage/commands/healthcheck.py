"""``triage healthcheck``: whether a process is ready."""

from __future__ import annotations

import sys
import time

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, given
from triage.service.ready_addresses import PROCESSES, ready_addresses

_BETWEEN_S = 0.5


SECTION = CommandSection.PROCESSES


@click.command()
@click.option("--url", default=None, help="Address to ask; default: the web process of the settings.")
@click.option(
    "--process",
    type=click.Choice([*PROCESSES, "all"]),
    default="web",
    show_default=True,
    help="Which process of the settings to ask; all: each that `triage up` starts.",
)
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=0.0, help="Seconds to wait for it. [default: 0]")
@given
def healthcheck(invocation: Invocation, url: str | None, process: str, wait_s: float) -> None:
    """End with status 0 if a process is ready (for containers and systemd).

    The web process is asked, the process of --process (all: each that `triage up` starts), or --url; --wait waits
    for it.
    """
    settings = invocation.settings()
    from triage.runtime.health import is_ready

    addresses = [url] if url else ready_addresses(settings, None if process == "all" else process)
    deadline = time.monotonic() + wait_s
    for address in addresses:
        ready, answer = is_ready(address)
        while not ready and time.monotonic() < deadline:
            time.sleep(_BETWEEN_S)
            ready, answer = is_ready(address)
        click.echo(answer)
        if not ready:
            sys.exit(1)
