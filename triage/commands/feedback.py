"""``triage feedback``: what radiologists said and judged, as labels."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import click

from triage.commands import CommandSection
from triage.commands.base import Invocation, audit, given, open_spool

SECTION = CommandSection.RESEARCH


def _remove(files: list[Path]) -> None:
    from triage.validation.cohort.image_copies import copies_folder

    for file in files:
        file.unlink(missing_ok=True)
        shutil.rmtree(copies_folder(file), ignore_errors=True)


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Manifest (CSV) to write.")
@click.option(
    "--cases", type=click.Path(dir_okay=False, path_type=Path), help="Table (CSV) of all cases to write, too."
)
@given
def feedback(invocation: Invocation, out: Path, cases: Path | None) -> None:
    """Write what radiologists said and judged as labels for `triage validate`, with how each case was chosen.

    `triage validate` takes figures from the random audit alone, and leaves the other cases out. --cases writes each
    case, judged or not, with what was said. Where the store keeps images in a bucket, they are copied into a folder
    next to the manifest, OUT.images.
    """
    settings = invocation.settings()
    from triage.commands.output.feedback import told, write_cases
    from triage.security.audit_trail import intend_export, note_export
    from triage.validation.cohort.feedback import export

    spool = open_spool(settings)
    files = [out] if cases is None else [out, cases]
    for file in files:
        audit(settings, "triage feedback", partial(intend_export, out=file))
    done = export(spool, out, settings.adjudication.reader_studies)
    if cases is not None:
        write_cases(done.cases, cases)
    of_cases = {case.study_instance_uid for case in done.cases}
    for file, studies in zip(files, (set(done.studies), of_cases), strict=False):
        if studies:
            noted = partial(note_export, out=file, spool=spool, studies=sorted(studies))
            audit(settings, "triage feedback", noted, undo=partial(_remove, files), done=True)
    for line in told(done, out):
        click.echo(line)
