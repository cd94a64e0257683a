"""Labels of reports as a table: by the rules, and corrected by a person who read the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

from triage.report_labeller.reports import ReportError
from triage.runtime.csv_table import TableWriter, read_table


@dataclass(frozen=True)
class CheckedReport:
    """Row of one report. ``label`` and ``mesh`` are 0, 1 or empty; ``corrected`` is for a person to fill in.

    ``definition`` names the meaning of 1.
    """

    report: str
    label: str
    mesh: str
    sentence: str
    why: str
    definition: str
    corrected: str = ""


NAMES = tuple(field.name for field in fields(CheckedReport))


def write_labels(path: Path, rows: Iterable[CheckedReport]) -> None:
    """Write a table that a person opens in a spreadsheet and whose column ``corrected`` is read back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # it quotes reports
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.row(NAMES)
        for row in rows:
            writer.row(astuple(row))


@dataclass(frozen=True)
class CheckedReports:
    """Labels 0 or 1 by report, read from a table: those of the rules, and those that a person corrected."""

    labels: Mapping[str, int] = field(default_factory=dict)
    corrected: Mapping[str, int] = field(default_factory=dict)

    def resolve(self, report: str, other: int | None) -> int | None:
        """Return the label of ``report``: a person's, else ``other``, else the rules'; None without any."""
        return self.corrected.get(report, self.labels.get(report) if other is None else other)


def read_labels(path: Path, definition: str) -> CheckedReports:
    """Read a table of ``write_labels``, or one with columns report and corrected.

    Raises ReportError naming the row, and where the table's labels mean something else than ``definition``.
    """
    labels: dict[str, int] = {}
    corrected: dict[str, int] = {}
    seen: set[str] = set()
    for where, row in _rows(path):
        report = row["report"]
        if not report or report in seen:
            raise ReportError(f"{where}: report {report!r} is empty or there already")
        seen.add(report)
        stated = row.get("definition") or definition
        if stated != definition:
            raise ReportError(f"{where}: the labels are by the definition {stated}, and {definition} is asked for")
        for column, found in (("label", labels), ("corrected", corrected)):
            value = _value(where, column, row.get(column, ""))
            if value is not None:
                found[report] = value
    return CheckedReports(labels, corrected)


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    table = read_table(path, ("report", "corrected"), refusal=ReportError)
    for row in table.records:
        yield f"{path}, line {row.line}", row.values


def _value(where: str, column: str, text: str) -> int | None:
    if not text:
        return None
    for value, words in enumerate((("0", "normal"), ("1", "abnormal"))):
        if text.lower() in words:
            return value
    raise ReportError(f"{where}: {column} {text!r} is neither 0 nor 1")
