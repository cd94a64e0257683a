"""``python -m training label-reports``: normal or abnormal from report text, scored where MeSH codes are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from training.labeller.agreement import AgreementCounts
from training.labeller.answers import read_answers, write_answers
from training.labeller.score import DEFAULT_SEED, HALVES, LabelledReport, choose_half, disagreements, judge_all, score
from triage.errors import StartError
from triage.report_labeller import mesh
from triage.report_labeller.reports import Report, read_report_table, read_reports
from triage.report_labeller.rules import Rules

EXISTING = click.Path(exists=True, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, path_type=Path)


@click.command("label-reports")
@click.argument("source", type=EXISTING)
@click.option("--out", type=OUT, help="CSV of every report's label, for `prepare indiana --report-labels` or a join.")
@click.option(
    "--definition", type=click.Choice(mesh.DEFINITIONS), default=mesh.STRICT, show_default=True,
    help="What counts as abnormal: any finding, or as the paper counts, heart and lungs.",
)  # fmt: skip
@click.option("--half", type=click.Choice(HALVES), default="all", show_default=True, help="Which half to look at.")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Seed of the halves.")
@click.option(
    "--disagreements", "disagreeing", type=OUT, help="CSV of the reports to read: column `corrected` is yours."
)
@click.option("--corrections", type=FILE, help="Such a CSV, with `corrected` filled in: 0 or 1 by who read the report.")
@click.option("--rules", type=FILE, help="Rules of your own in the form of triage/report_labeller/rules.toml.")
def label_reports(
    source: Path,
    out: Path | None,
    definition: str,
    half: str,
    seed: int,
    disagreeing: Path | None,
    corrections: Path | None,
    rules: Path | None,
) -> None:
    """Label the reports of SOURCE: Open-i's folder or .tgz, or a CSV file with columns report and text.

    The tables written hold sentences of the reports: keep them where reports may lie.
    """
    try:
        reports = choose_half(_read(source), half, seed)
        judged = judge_all(reports, definition, Rules.load(rules) if rules else None)
        corrected = read_answers(corrections, definition).corrected if corrections else {}
        if out:
            write_answers(out, (each.answer(corrected.get(each.report)) for each in judged))
        if disagreeing:
            write_answers(disagreeing, (each.answer(corrected.get(each.report)) for each in disagreements(judged)))
        click.echo("\n".join(_summary(judged, corrected)))
    except StartError as error:
        raise click.ClickException(str(error)) from error


def _read(source: Path) -> list[Report]:
    return read_report_table(source) if source.suffix.lower() == ".csv" else read_reports(source)


def _summary(judged: Sequence[LabelledReport], corrected: Mapping[str, int]) -> list[str]:
    labels = Counter(each.verdict.label for each in judged)
    lines = [
        f"{len(judged)} reports: {labels[0]} normal, {labels[1]} abnormal, {labels[None]} without a label "
        "(nothing is said to be normal or abnormal)"
    ]
    against = score(judged, {})
    if against is not None:
        lines.append(f"against MeSH: {_figures(against)}")
    reviewed = [each for each in judged if each.report in corrected]
    if reviewed:
        right = sum(each.verdict.label == corrected[each.report] for each in reviewed)
        lines.append(
            f"a person read {len(reviewed)}: the rules were right in {right}, wrong in {len(reviewed) - right}"
        )
        after = score(judged, corrected)
        if after is not None:
            lines.append(f"against MeSH as corrected: {_figures(after)}")
    return lines


def _figures(found: AgreementCounts) -> str:
    low, high = found.agreement_interval
    kappa_low, kappa_high = found.kappa_interval
    return (
        f"agreement {found.agreement:.4f} ({low:.4f}-{high:.4f}), kappa {found.kappa:.4f} "
        f"({kappa_low:.4f}-{kappa_high:.4f}) on {found.n} reports; both normal {found.both[0]}, both abnormal "
        f"{found.both[1]}, rules alone abnormal {found.first_only}, MeSH alone abnormal {found.second_only}"
    )
