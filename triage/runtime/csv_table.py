"""CSV files read strictly: every row is read as it stands, or the file is refused with the line that is wrong.

Spreadsheets and scripts write CSV in many ways, and Python's ``csv`` accepts almost all of them: an unclosed quote
swallows rows, a surplus cell shifts a row or is dropped. Here RFC 4180 is required.

Written files are opened in spreadsheets, which run a cell that begins like a formula: such a text gets an apostrophe
in front (``written``), which is removed when it is read again (``plain``). Every file and table of ours is written by
``TableWriter``, so that none forgets it.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from triage.errors import TriageError, cause

T = TypeVar("T")

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_ROUNDED = re.compile(r"[+-]?\d(?:(?:[.,]\d+)?[eE]\+\d{2,3}|[.,]\d+[eE]\d{1,3})")  # the second as Java writes it
_ERROR = re.compile(r"#+|#[A-Z/0-9_]+[!?]|Err:\d+", re.IGNORECASE)
_BEGINNINGS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # those of Japanese keyboards too
_FORMULA = re.compile(rf"'*{_BEGINNINGS}")
_GUARDED = re.compile(rf"'+{_BEGINNINGS}")
_QUOTED = re.compile(r"[,;|\t\"\r\n]|^\s|\s$")
"""Cells in quotes: a spreadsheet may split a row at the separator of its language, and read a formula behind it."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOTHING = frozenset({"nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat"})
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class TableError(TriageError, ValueError):
    """A table that cannot be read as it stands. The message has the line and the remedy."""


@dataclass(frozen=True)
class CSVRow:
    """One row: its first line in the file, and its cells by column, without surrounding blanks."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """The rows of a file, and the number of blank lines that were skipped."""

    columns: tuple[str, ...]
    records: tuple[CSVRow, ...]
    blank: int = 0


def parse_table(data: bytes, needed: Sequence[str] = ()) -> Table:
    """Return the table in a CSV file: UTF-8 with or without a BOM, commas, a header with all of ``needed``.

    Raises TableError.
    """
    text = _decoded(data)
    lines = io.StringIO(text, newline="").readlines()
    rows = _rows(text, lines)
    header_line, header = next(((line, row) for line, row in rows if any(row)), (1, []))
    columns = _columns(header_line, header, needed)
    records, blank = [], 0
    for line, row in rows:
        if line == header_line:
            continue
        if not any(row):
            blank += 1
            continue
        records.append(CSVRow(line, _by_column(line, row, columns)))
    named = tuple(name for name in columns if name)
    return Table(named, tuple(records), blank)


def read_table(path: Path, needed: Sequence[str] = (), *, refusal: Callable[[str], Exception] = TableError) -> Table:
    """Return the table in the CSV file ``path``; see ``parse_table``.

    Raises the error that ``refusal`` makes of a text, if the file cannot be read or is no such table.
    """
    try:
        return parse_table(path.read_bytes(), needed)
    except OSError as error:
        raise refusal(f"{path} cannot be read: {cause(error)}") from error
    except TableError as error:
        raise refusal(f"{path}: {error}") from error


def written(value: T) -> T | str:
    """Return a value as it is written into a cell, so that a spreadsheet takes no text for a formula."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value) or not _FORMULA.match(value):
        return value
    return f"'{value}"


def plain(cell: str) -> str:
    """Return the text of a cell that ``written`` made."""
    return cell[1:] if _GUARDED.match(cell) else cell


class TextFile(Protocol):
    """A place that rows are written to."""

    def write(self, text: str, /) -> object:
        """Write a text."""
        ...


class TableWriter:
    """Writes rows of CSV (RFC 4180) in which no cell begins like a formula. Every CSV of this project is written here.

    ``out`` is a file opened with ``newline=""``; ``end`` ends a row. None is an empty cell.
    """

    def __init__(self, out: TextFile, end: str = "\n") -> None:
        self._out = out
        self._end = end

    def row(self, cells: Iterable[object]) -> None:
        """Write one row."""
        self._out.write(",".join(map(_cell, cells)) + self._end)


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = str(written(value))
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def is_nothing(text: str) -> bool:
    """Return True for the words that programs write if there is no value: nan, None, NULL, N/A."""
    return text.strip().lower() in _NOTHING


def is_rounded(text: str) -> bool:
    """Return True if a spreadsheet has changed an identifier into a number in scientific notation."""
    return bool(_ROUNDED.fullmatch(text.strip()))


def identifier_fault(text: str) -> str:
    """Return the reason why a cell cannot be an identifier; empty if it can."""
    if not text.strip():
        return "is empty"
    if is_nothing(text):
        return f"is {text!r}, which is no identifier"
    if _ERROR.fullmatch(text.strip()):
        return f"is {text!r}, an error of a spreadsheet, which is no identifier"
    if not text.isprintable() or unicodedata.normalize("NFC", text) != text:
        return f"is {text!a}, which looks like another one: it has an invisible character, or separate accents"
    if is_rounded(text):
        return f"is {text!r}: a spreadsheet has rounded it; make that column text, and export the table anew"
    return ""


def _decoded(data: bytes) -> str:
    if data.startswith(_UTF_16):
        raise TableError("it is UTF-16: save it as CSV UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TableError(f"line {line}: byte 0x{data[error.start]:02x} is no UTF-8: save it as CSV UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise TableError(f"line {line}: it holds a NUL character: it is damaged, or no CSV file")
    return text


def _rows(text: str, lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return each row with the number of its first line. Raises TableError for unpaired quotes."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            row = [plain(cell.strip()) for cell in next(reader)]
        except StopIteration:
            return rows
        except csv.Error as error:
            raise TableError(f"line {line}: {_described(error)}") from None
        _check_swallowed(line, row, lines[line : reader.line_num])
        rows.append((line, row))


def _described(error: csv.Error) -> str:
    if "larger than field limit" in str(error):
        return "a cell here is too long for a table: a quote that begins in this row may never be closed"
    if "unexpected end of data" in str(error):
        return "a quote that begins here is never closed"
    return f"quotes do not fit ({error}): a quote in a cell is written twice, and the cell stands in quotes"


def _check_swallowed(line: int, row: Sequence[str], swallowed: Sequence[str]) -> None:
    """Raise TableError if further lines of a row look like rows: then a quote was not closed where it should be."""
    for further, text in enumerate(swallowed, start=line + 1):
        cells = next(csv.reader([text]), [])
        if len(cells) > 1 and row and _shape(cells[0]) == _shape(row[0]) and len(cells) >= len(row) - 1:
            raise TableError(f"line {line}: a quote that begins here swallows line {further}: close it")


def _shape(cell: str) -> str:
    """Return the cell with each run of letters or digits as one: img/x006.png and img/x7.png have the same shape."""
    return re.sub(r"[0-9]+", "0", re.sub(r"[^\W\d_]+", "a", cell.strip()))


def _columns(line: int, header: Sequence[str], needed: Sequence[str]) -> list[str]:
    if header and header[0].lower().startswith("sep="):
        raise TableError(f"line {line}: remove this line, which is for Excel alone")
    twice = {name for name in header if name and list(header).count(name) > 1}
    if twice:
        raise TableError(f"line {line}: column {', '.join(sorted(twice))} is there twice")
    missing = [name for name in needed if name not in header]
    if missing:
        for separator, name in _SEPARATORS.items():
            if len(header) == 1 and separator in header[0]:
                raise TableError(f"cells are separated by {name}: save it with commas")
        raise TableError(f"no column {', '.join(missing)}; it has {', '.join(header) or 'none'}")
    return list(header)


def _by_column(line: int, row: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    if len(row) < len(columns):
        raise TableError(f"line {line}: the row ends before column {columns[len(row)] or len(row) + 1}")
    if any(row[len(columns) :]):
        raise TableError(
            f"line {line}: {len(row)} cells, and the header has {len(columns)}: a cell with a comma has to stand in "
            "quotes"
        )
    unnamed = [cell for name, cell in zip(columns, row, strict=False) if not name and cell]
    if unnamed:
        raise TableError(f"line {line}: a cell stands in a column that has no name")
    return {name: cell for name, cell in zip(columns, row, strict=False) if name}
