"""Chosen operating points: printed, and written into the site's file as an audited act."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from triage.commands.base import audit
from triage.errors import cause
from triage.model.points_entry import PointCases
from triage.model.points_file import PointsFile, merged, read_points, write_points
from triage.security.audit_trail import AuditTrail, note_configuration
from triage.settings.schema import Settings
from triage.validation.choosing.choose import StratumChoice

POINTS = "operating-points.json"
_SETTING = "models.operating_points"


def write_choices(settings: Settings, choices: Sequence[StratumChoice], path: Path) -> bool:
    """Print the choices, and write their entries into a file, next to those of other strata, findings and models.

    Nothing is written where no stratum has a point. The audit trail has the act before and after it.

    Returns:
        True if a point was written.

    Raises:
        StartError: The entries do not go together with those that the file has.
    """
    console = Console()
    console.print(_table(choices))
    for each in choices:
        if each.refused:
            console.print(f"[yellow]![/] {escape(each.stratum.words)}: {escape(each.refused)}", highlight=False)
    if all(each.refused for each in choices):
        console.print("[bold red]no point is certified[/]: nothing was written", highlight=False)
        return False
    kept = read_points(path) if path.exists() else PointsFile()
    file = merged(kept, [each.entry for each in choices])
    described = _described(choices)
    audit(settings, "triage validate", partial(_note, f"about to be written to {path.absolute()}: {described}"))
    try:
        write_points(path, file)
    except OSError as error:
        audit(settings, "triage validate", partial(_note, f"could not be written to {path.absolute()}"), done=True)
        raise click.ClickException(f"{path} cannot be written: {cause(error)}") from error
    digest = sha256(path.read_bytes()).hexdigest()
    written = f"written to {path.absolute()} (SHA-256 {digest}): {described}"
    audit(settings, "triage validate", partial(_note, written), done=True)
    console.print(f"{path}  (models.operating_points names the file; start work again)", highlight=False)
    return True


def _note(description: str, trail: AuditTrail) -> None:
    note_configuration(trail, _SETTING, description)


def _described(choices: Sequence[StratumChoice]) -> str:
    points = [each.entry for each in choices if not each.refused]
    told = [f"{each.finding} from {each.threshold!r} for {each.stratum.words}" for each in points]
    return f"{', '.join(told)} ({points[0].model}, {points[0].provenance.rule})"


def _table(choices: Sequence[StratumChoice]) -> Table:
    table = Table(
        "for", "positive from", "sensitivity, checked", "specificity, checked", "positive patients", title=None
    )
    for each in choices:
        checked = each.entry.provenance.checked_on
        threshold = "of its parent" if each.entry.threshold is None else f"{each.entry.threshold:.4g}"
        patients = "" if checked is None else str(checked.positive_patients)
        figures = (_figure(checked, "sensitivity"), _figure(checked, "specificity"))
        table.add_row(escape(each.stratum.words), threshold, *figures, patients)
    return table


def _figure(cases: PointCases | None, name: str) -> str:
    figure = cases.figures.get(name) if cases else None
    return "" if figure is None else f"{figure.value:.3f} ({figure.low:.3f}-{figure.high:.3f})"
