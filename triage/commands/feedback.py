"""``triage feedback``: what radiologists said, as labels."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, audited, given, open_spool

SECTION = CommandSection.RESEARCH


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Manifest (CSV) to write.")
@given
def feedback(invocation: Invocation, out: Path) -> None:
    """Write what radiologists said on the page as labels for `triage validate`."""
    settings = invocation.settings()
    from triage.security.audit_trail import intend_export, note_export
    from triage.validation.cohort.feedback import export

    spool = open_spool(settings)
    with audited(settings, "triage feedback") as trail:
        if trail:
            intend_export(trail, out)
    done = export(spool, out)
    with audited(settings, "triage feedback", undo=out.unlink, done=True) as trail:
        if trail and done.studies:
            note_export(trail, out, spool, done.studies)
    click.echo(f"{done.images} image{'' if done.images == 1 else 's'} with a label: {out}")
    click.echo(
        f"left out: {done.contradicted} studies with contradicting readers, {done.without_image} without a score"
    )
