"""Output of ``triage canary``."""

from __future__ import annotations

import click

from triage.canary.run import CanaryObserver, CanaryRunningError, PassedStage, run_canary
from triage.canary.wiring import canary_setup
from triage.errors import cause
from triage.settings.schema import Settings
from triage.spool.errors import SpoolError
from triage.spool.store import Store

_ROW = "{:<28}{:>7}  {}"


def send_and_show(settings: Settings, spool: Store, redis_url: str) -> bool:
    """Send a canary, print the stages that it passes and fails, and return whether it passed all."""
    setup = canary_setup(settings, spool, redis_url)
    where = f"{setup.listener.called_ae_title} at {setup.listener.host}:{setup.listener.port}"
    named = ", ".join(each.name for each in setup.destinations) or "nowhere: no destination has canary = true"
    click.echo(f"A canary to {where}, delivered to {named}; {setup.timeout_s:.0f} s at most.")
    try:
        result = run_canary(setup, CanaryObserver(_show))
    except CanaryRunningError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"the spool cannot be written: {cause(error)}") from error
    except SpoolError as error:
        raise click.ClickException(str(error)) from error
    assert result is not None
    for stage, reason in result.failed_stages.items():
        click.echo(_ROW.format(stage, "NOT", reason))
    click.echo(f"It {'passed every stage' if result.succeeded else 'did NOT pass every stage'}: {result.took_s:.1f} s.")
    return result.succeeded


def _show(stage: PassedStage) -> None:
    click.echo(_ROW.format(stage.name, f"{stage.after_s:.1f} s", stage.detail))
