"""Imported and checked models, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from triage.model.card import ModelCard
    from triage.model_import.candidate import Candidate
    from triage.model_import.check import ModelCheck
    from triage.model_import.importer import Imported


def show_imported(done: Imported) -> None:
    """Print what a model folder holds now, and how to go on."""
    _show_notes(done.notes)
    _show_findings(done.card)
    use = "a demonstration, for use in shadow (models.shadow)" if done.card.demo else "for use as its card says"
    click.echo(f"{done.folder}: {done.card.model_id}, {use}")
    if done.folder.name != done.card.name:
        click.echo(
            f"of several versions the promoted one serves: `triage models promote {done.folder.name} --reason …`"
        )
    if done.card.distribution is None:
        click.echo("without a distance: it never says normal")


def show_candidate(candidate: Candidate) -> None:
    """Print what would be imported."""
    _show_notes(candidate.notes)
    for each in candidate.described.findings:
        if each.is_finding:
            source = "a rule" if each.rule else f"{each.output or 'the output'} {each.index}, {each.kind}"
            click.echo(f"{each.name}: {source}, positive from {each.threshold:g}")
    click.echo(f"{candidate.described.name} {candidate.described.version}: description and graph agree")


def show_checks(checks: Iterable[ModelCheck]) -> bool:
    """Print the result of each check; return True if all models are as they should be."""
    good = True
    for each in checks:
        name = each.card.model_id if each.card else str(each.folder)
        if each.faults:
            good = False
            for fault in each.faults:
                click.echo(f"wrong    {name}: {fault}")
        elif each.card:
            click.echo(f"ok       {name}: {each.card.covers}")
    return good


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        click.echo(note)


def _show_findings(card: ModelCard) -> None:
    for each in card.findings:
        point = each.operating_points[0]
        counts = "" if each.counts else ", does not count"
        click.echo(f"{each.name}: {each.title}, positive from {point.threshold:g} ({point.chosen}){counts}")
