"""``triage feedback``: what radiologists said, as labels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, audit, given, open_spool

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
    audit(settings, "triage feedback", lambda trail: intend_export(trail, out))
    done = export(spool, out)
    if done.studies:
        noted = partial(note_export, out=out, spool=spool, studies=done.studies)
        audit(settings, "triage feedback", noted, undo=out.unlink, done=True)
    click.echo(f"{done.images} image{'' if done.images == 1 else 's'} with a label: {out}")
    click.echo(
        f"left out: {done.contradicted} studies with contradicting readers, {done.without_image} without a score"
    )
