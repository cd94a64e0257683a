"""Command ``label-reports``: normal or abnormal from report text, compared with MeSH codes where there are some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from training.commands.options import FILE, NEW_FILE, MessageCommand, collected
from training.labeller.label_table import read_labels, write_labels
from training.labeller.reader_agreement import AgreementCounts
from training.labeller.score import DEFAULT_SEED, HALVES, LabelledReport, choose_half, disagreements, judge_all, score
from triage.report_labeller import mesh
from triage.report_labeller.reports import Report, read_report_table, read_reports
from triage.report_labeller.rules import Rules

EXISTING = click.Path(exists=True, path_type=Path)


@dataclass(frozen=True)
class LabelOptions:
    """Options of ``label-reports``."""

    out: Path | None
    definition: str
    half: str
    seed: int
    disagreeing: Path | None
    corrections: Path | None
    rules: Path | None


@click.command("label-reports", cls=MessageCommand)
@click.argument("source", type=EXISTING)
@click.option(
    "--out", type=NEW_FILE, help="CSV of every report's label, for `prepare indiana --report-labels` or a join."
)
@click.option(
    "--definition", type=click.Choice(mesh.DEFINITIONS), default=mesh.STRICT, show_default=True,
    help="What counts as abnormal: any finding, or as the paper counts, heart and lungs.",
)  # fmt: skip
@click.option("--half", type=click.Choice(HALVES), default="all", show_default=True, help="Which half to label.")
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Seed of the halves.")
@click.option(
    "--disagreements", "disagreeing", type=NEW_FILE, help="CSV of the reports to read: column `corrected` is yours."
)
@click.option(
    "--corrections", type=FILE, help="Such a CSV, with `corrected` filled in: 0 or 1 by a person who read the report."
)
@click.option("--rules", type=FILE, help="Rules of your own in the form of triage/report_labeller/rules.toml.")
@collected(LabelOptions)
def label_reports(options: LabelOptions, source: Path) -> None:
    """Label the reports of SOURCE: Open-i's folder or .tgz, or a CSV file with columns report and text.

    The tables written hold sentences of the reports: keep them where reports may be kept.
    """
    definition, corrections = options.definition, options.corrections
    reports = choose_half(_read(source), options.half, options.seed)
    judged = judge_all(reports, definition, Rules.load(options.rules) if options.rules else None)
    corrected = read_labels(corrections, definition).corrected if corrections else {}
    for path, chosen in ((options.out, judged), (options.disagreeing, disagreements(judged))):
        if path:
            write_labels(path, (each.row(corrected.get(each.report)) for each in chosen))
    click.echo("\n".join(_summary(judged, corrected)))


def _read(source: Path) -> list[Report]:
    return read_report_table(source) if source.suffix.lower() == ".csv" else read_reports(source)


def _summary(judged: Sequence[LabelledReport], corrected: Mapping[str, int]) -> list[str]:
    labels = Counter(each.verdict.label for each in judged)
    lines = [
        f"{len(judged)} reports: {labels[0]} normal, {labels[1]} abnormal, {labels[None]} without a label "
        "(the text says neither normal nor abnormal)"
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


def _figures(counts: AgreementCounts) -> str:
    low, high = counts.agreement_interval
    kappa_low, kappa_high = counts.kappa_interval
    return (
        f"agreement {counts.agreement:.4f} ({low:.4f}-{high:.4f}), kappa {counts.kappa:.4f} "
        f"({kappa_low:.4f}-{kappa_high:.4f}) on {counts.n} reports; both normal {counts.both[0]}, both abnormal "
        f"{counts.both[1]}, rules alone abnormal {counts.first_only}, MeSH alone abnormal {counts.second_only}"
    )
