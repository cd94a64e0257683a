"""Prints the state of paging, and the end of a test page."""

from __future__ import annotations

import time
from uuid import uuid4

import click

from triage.paging.message import PageFacts, page_of
from triage.paging.route import NotTakenError
from triage.paging.status import NEVER_RAN
from triage.paging.store import PagingFiles
from triage.service.paging import routes_of
from triage.settings.schema import Settings
from triage.spool.store import Store


def show_state(spool: Store) -> bool:
    """Print the state, and return False if there is an alarm."""
    status, now = PagingFiles(spool).status(), time.time()
    alarms = [NEVER_RAN] if status is None else status.alarms(now)
    if status is not None:
        click.echo(f"The {status.rota} rota is paged, with at most {status.cap_per_hour} pages an hour.")
        click.echo(f"{status.watched} raised studies are not read; {status.paged} of them were paged.")
    for alarm in alarms:
        click.echo(f"ALARM: {alarm}")
    return not alarms


def send_test(settings: Settings, rota: str) -> bool:
    """Send a test page to each route of a rota, print its end, and return True if all took it."""
    routes = routes_of(settings).get(rota, ())
    if not routes:
        raise click.ClickException(f"the {rota} rota has no address in the settings")
    now = time.time()
    page = page_of(PageFacts(uuid4().hex, 1, now, now, settings.paging.repeat_minutes * 60, test=True))
    passed = True
    for route in routes:
        try:
            taken = route.send(page)
            refused = f", but {taken.refused} addresses are refused" if taken.refused else ""
            click.echo(f"{route.name}: taken{refused}")
            passed = passed and not taken.refused
        except NotTakenError as error:
            click.echo(f"{route.name}: not taken: {error}")
            passed = False
    return passed
