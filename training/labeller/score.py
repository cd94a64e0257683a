"""Agreement of the text labeller with MeSH codes, or with a person who read the reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from training.labeller.label_table import CheckedReport
from training.labeller.reader_agreement import AgreementCounts, agreement
from triage.report_labeller import mesh
from triage.report_labeller.reports import Report
from triage.report_labeller.rules import Rules
from triage.report_labeller.text import ReportLabel, judge

HALVES = ("all", "develop", "held-out")
DEFAULT_SEED = 2020


@dataclass(frozen=True)
class LabelledReport:
    """Labels of one report: the rules' verdict and MeSH's, either of which may be None."""

    report: str
    verdict: ReportLabel
    mesh: int | None
    definition: str

    def row(self, corrected: int | None = None) -> CheckedReport:
        """Return the row of a table of labels; a person's correction has a column of its own."""
        verdict = self.verdict
        return CheckedReport(
            report=self.report,
            label=_text(verdict.label),
            mesh=_text(self.mesh),
            sentence=verdict.sentence,
            why=verdict.why,
            definition=self.definition,
            corrected=_text(corrected),
        )


def choose_half(reports: Iterable[Report], half: str, seed: int) -> list[Report]:
    """Return every report, or one of two halves by digest: rules are made on ``develop``, scored on ``held-out``."""
    wanted = {"all": (0, 1), "develop": (0,), "held-out": (1,)}[half]
    return [report for report in reports if _side(report.identifier, seed) in wanted]


def judge_all(reports: Iterable[Report], definition: str, rules: Rules | None = None) -> list[LabelledReport]:
    """Return the rules' and MeSH's labels of every report."""
    return [
        LabelledReport(
            report.identifier, judge(report, definition, rules), mesh.label(report.mesh, definition), definition
        )
        for report in reports
    ]


def disagreements(judged: Iterable[LabelledReport]) -> list[LabelledReport]:
    """Return the reports that MeSH labels and that the rules label differently or not at all."""
    return [each for each in judged if each.mesh is not None and each.verdict.label != each.mesh]


def score(judged: Sequence[LabelledReport], corrections: Mapping[str, int]) -> AgreementCounts | None:
    """Return the agreement of the rules (first) with MeSH (second); a person's correction replaces MeSH's label.

    None where no report has both labels, or all have the same one.
    """
    pairs = [
        (each.verdict.label, reference)
        for each in judged
        if each.verdict.label is not None and (reference := corrections.get(each.report, each.mesh)) is not None
    ]
    try:
        return agreement([first for first, _ in pairs], [second for _, second in pairs])
    except ValueError:
        return None


def _side(identifier: str, seed: int) -> int:
    return int(sha256(f"{seed}:{identifier}".encode()).hexdigest(), 16) % 2


def _text(label: int | None) -> str:
    return "" if label is None else str(label)
