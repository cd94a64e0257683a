"""The state of PostgreSQL and a bucket, as commands about backups note and compare it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from triage.settings.schema import Settings

if TYPE_CHECKING:
    from triage.spool.comparing.engine_state import EngineState


def noted_state(settings: Settings) -> EngineState | None:
    """Return the state of both engines; None for a store of files, and, said on standard error, if one fails."""
    from triage.service.store import store_address
    from triage.spool.comparing.engine_state import engine_state
    from triage.spool.comparing.opening import open_comparison

    address = store_address(settings)
    if isinstance(address, Path):
        return None
    try:
        return engine_state(address, open_comparison(address))
    except OSError as error:
        click.echo(f"the state of database and bucket is not noted: {error}", err=True)
        return None


def tell_state(settings: Settings, state: EngineState | None) -> None:
    """Print the state that a backup notes. Raises ClickException if the engines could not be restored as they are."""
    from triage.spool.comparing.engine_state import described, pair_faults

    if settings.store.kind == "files":
        return
    if state is None:
        raise click.ClickException("the backup is whole, and says nothing of database and bucket: make another one")
    click.echo(f"not in it: {described(state)}. Back up both by their own means")
    for each in pair_faults(state, removes=bool(settings.spool.retention_days)):
        click.echo(f"warning: {each}", err=True)
    if state.bucket.lacking:
        raise click.ClickException("the backup is whole, and database and bucket do not agree (see above)")


def told_against(record: Mapping[str, Any], settings: Settings) -> bool:
    """Print where both engines are not those of a backup's manifest, or of an earlier time; return whether they are."""
    from triage.spool.comparing.engine_state import described, restored_faults, state_of_record

    now = noted_state(settings)
    if now is None:
        return False
    before = state_of_record(record)
    click.echo(f"backup: {described(before)}\nnow: {described(now)}")
    faults = list(restored_faults(before, now))
    for each in faults:
        click.echo(f"{each}")
    return not faults
