"""``triage models pointing-game``: the evidence of where a model's map points goes into its card."""

from __future__ import annotations

from pathlib import Path

import click

from triage.commands.base import PATH, CannotStart, Invocation, audit, given, start_errors


@click.command("pointing-game")
@click.argument("folder", type=PATH)
@click.option("--report", type=PATH, required=True, help="What triage validate --boxes wrote: its folder.")
@click.option("--boxes-of", "marked", default="all", show_default=True, help="Finding of the boxes that count.")
@click.option("--reference", required=True, help="Whose boxes they are, for the card.")
@click.option("--held-out", default="", help="How you know that no image trained the model, where the card cannot say.")
@given
def command(invocation: Invocation, folder: Path, report: Path, marked: str, reference: str, held_out: str) -> None:
    """Write the pointing game of a validation into the card of the model in FOLDER, for its leading finding.

    The page shows a model's activation map only where the lower bound of its hits is above chance, in each cohort that
    the card states. Refused for a report of other weights, of images of training patients, or without boxes. A model of
    a package is copied into a folder of models.path first: packages replace their files.
    """
    settings = invocation.settings()
    try:
        from triage.model.card import load_card
        from triage.security.audit_trail import note_configuration
        from triage.validation.pointing_evidence import evidence_of, write_evidence
        from triage.validation.report.card_page import read_metrics
    except ModuleNotFoundError as error:
        raise CannotStart(f"{error.name} is not installed: pip install 'cxr-triage[validate]'") from error

    with start_errors():
        card = load_card(folder.resolve())
        entry = evidence_of(read_metrics(report / "metrics.json"), card, marked, reference, held_out)
        share = f"{entry.hits.value:.3f} ({entry.hits.low:.3f} to {entry.hits.high:.3f}), n = {entry.hits.n}"
        what = f"pointing game of {card.model_id}: {share}, chance {entry.chance:.3f}; {entry.cohort}; {reference}"
        audit(settings, "models", lambda trail: note_configuration(trail, f"model {card.name}", what))
        localises = write_evidence(folder.resolve(), entry).leading.localises
    click.echo(what)
    verdict = "is shown" if localises else "is not shown: its lower bound does not beat chance in every cohort"
    click.echo(f"its activation map {verdict}, from the next start of `triage web`")
