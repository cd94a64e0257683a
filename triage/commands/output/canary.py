"""Output of ``triage canary``."""

from __future__ import annotations

import click

from triage.canary.run import UnderWayError, fly
from triage.canary.wiring import route_of
from triage.errors import cause
from triage.settings.schema import Settings
from triage.spool.errors import SpoolError
from triage.spool.spool import Spool

_ROW = "{:<28}{:>7}  {}"


def fly_and_show(settings: Settings, spool: Spool, redis_url: str) -> bool:
    """Send a canary and print each stage that it passes, and those that it does not. Whether it came out."""
    route = route_of(settings, spool, redis_url)
    where = f"{route.address.called_ae_title} at {route.address.host}:{route.address.port}"
    named = ", ".join(each.name for each in route.destinations) or "nowhere: no destination has canary = true"
    click.echo(f"A canary to {where}, delivered to {named}; {route.timeout_s:.0f} s at most.")
    try:
        outcome = fly(route, _show)
    except UnderWayError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"the spool cannot be written: {cause(error)}") from error
    except SpoolError as error:
        raise click.ClickException(str(error)) from error
    assert outcome is not None
    for stage, why in outcome.stuck.items():
        click.echo(_ROW.format(stage, "NOT", why))
    click.echo(f"It {'came out' if outcome.came_out else 'did NOT come out'} after {outcome.took_s:.1f} s.")
    return outcome.came_out


def _show(stage: str, seconds: float, said: str) -> None:
    click.echo(_ROW.format(stage, f"{seconds:.1f} s", said))
