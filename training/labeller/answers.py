"""Labels of reports as a table: what the rules say, and what a person who read the report corrected."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from training.labeller.reports import ReportError


@dataclass(frozen=True)
class Answer:
    """One report's row. ``label`` and ``mesh`` are 0, 1 or empty; ``corrected`` is for a person to fill in."""

    report: str
    label: str
    mesh: str
    sentence: str
    why: str
    corrected: str = ""


NAMES = tuple(field.name for field in fields(Answer))


def write_answers(path: Path, answers: Iterable[Answer]) -> None:
    """Write a table that a person opens in a spreadsheet and whose column ``corrected`` is read back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # it quotes reports
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(NAMES)
        writer.writerows(astuple(answer) for answer in answers)


def read_answers(path: Path) -> dict[str, int]:
    """0 or 1 by report: ``corrected`` where a person filled it in, else ``label``; reports with neither are left out.

    A file with columns report and corrected is enough. Raises ReportError naming the row.
    """
    answers: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"report", "corrected"} <= set(reader.fieldnames or ()):
                raise ReportError(f"{path} has no columns report and corrected")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                report, value = (row["report"] or "").strip(), _value(where, row)
                if report in answers:
                    raise ReportError(f"{where}: report {report} is in the table already")
                if value is not None:
                    answers[report] = value
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReportError(f"{path} cannot be read: {error}") from error
    return answers


def read_corrections(path: Path) -> dict[str, int]:
    """As read_answers, of the rows alone whose ``corrected`` a person filled in."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        corrected = {
            (row["report"] or "").strip() for row in csv.DictReader(file) if (row.get("corrected") or "").strip()
        }
    return {report: value for report, value in read_answers(path).items() if report in corrected}


def _value(where: str, row: dict[str, str]) -> int | None:
    for column in ("corrected", "label"):
        text = (row.get(column) or "").strip().lower()
        if text in ("0", "normal"):
            return 0
        if text in ("1", "abnormal"):
            return 1
        if text:
            raise ReportError(f"{where}: {column} {text!r} is neither 0 nor 1")
    return None
