"""CSV files read strictly: every row is read as it stands, or the file is refused with the line that is wrong.

Spreadsheets and scripts write CSV in many ways, and Python's ``csv`` takes almost all of them for something: a quote
that nobody closed swallows rows, a cell too many shifts a row or is dropped. RFC 4180 is what is read here.

What we write, people open in spreadsheets, which run a cell that begins like a formula: such a text gets an apostrophe
in front (``written``), which is taken away where we read it again (``plain``).
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_ROUNDED = re.compile(r"[+-]?\d(?:(?:[.,]\d+)?[eE]\+\d{2,3}|[.,]\d+[eE]\d{1,3})")  # the second as Java writes it
_ERROR = re.compile(r"#+|#[A-Z/0-9_]+[!?]|Err:\d+", re.IGNORECASE)
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOTHING = frozenset({"nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat"})
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class TableError(ValueError):
    """A table that cannot be read as it stands; the message names the line, and says what to do."""


@dataclass(frozen=True)
class CSVRow:
    """One row: its first line in the file, and its cells by column, without blanks around them."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """The rows of a file, and how many blank lines were passed over."""

    columns: tuple[str, ...]
    records: tuple[CSVRow, ...]
    blank: int = 0


def parse_table(data: bytes, needed: Sequence[str] = ()) -> Table:
    """The table in the bytes of a CSV file: UTF-8 with or without a BOM, commas, a header that has ``needed``.

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


def written(value: Any) -> Any:
    """A value as it stands in a cell that we write: no text of it is a formula to a spreadsheet."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value) or not _FORMULA.match(value):
        return value
    return f"'{value}"


def plain(cell: str) -> str:
    """The text of a cell that ``written`` made."""
    return cell[1:] if _GUARDED.match(cell) else cell


def is_nothing(text: str) -> bool:
    """Whether a cell is what programs write where there is no value: nan, None, NULL, N/A."""
    return text.strip().lower() in _NOTHING


def is_rounded(text: str) -> bool:
    """Whether a spreadsheet has made a number in scientific notation, and so another one, of an identifier."""
    return bool(_ROUNDED.fullmatch(text.strip()))


def identifier_fault(text: str) -> str:
    """Why a cell cannot name anybody or anything; empty if it can."""
    if not text.strip():
        return "is empty"
    if is_nothing(text):
        return f"is {text!r}, which names nobody"
    if _ERROR.fullmatch(text.strip()):
        return f"is {text!r}, an error of a spreadsheet, which names nobody"
    if not text.isprintable() or unicodedata.normalize("NFC", text) != text:
        return f"is {text!a}, which looks like another one: it has a character that nobody sees, or accents apart"
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
    """Each row with its first line's number. Raises TableError for quotes that do not fit."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            row = [plain(cell.strip()) for cell in next(reader)]
        except StopIteration:
            return rows
        except csv.Error as error:
            raise TableError(f"line {line}: {_in_words(error)}") from None
        _check_swallowed(line, row, lines[line : reader.line_num])
        rows.append((line, row))


def _in_words(error: csv.Error) -> str:
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
    """img/x006.png and img/x7.png are alike: letters and digits count as one each."""
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
