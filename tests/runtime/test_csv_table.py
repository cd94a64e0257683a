"""CSV files as spreadsheets, scripts and people write them: read as they stand, or refused with the line."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from triage.runtime.csv_table import (
    CSVRow,
    Table,
    TableError,
    TableWriter,
    identifier_fault,
    parse_table,
    plain,
    written,
)
from triage.validation.cohort.manifest import Row, read_manifest, write_manifest

HEADER = "image,label,note"
ROWS = [f"img/x{number:03d}.png,{number % 2},finding {number}" for number in range(24)]


def _file(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return (end.join([header, *rows]) + end).encode()


def test_a_plain_table_is_read_with_its_lines():
    table = parse_table(_file("a.png,0,x", " b.png , 1 ,"), ("image", "label"))
    assert table == Table(
        ("image", "label", "note"),
        (
            CSVRow(2, {"image": "a.png", "label": "0", "note": "x"}),
            CSVRow(3, {"image": "b.png", "label": "1", "note": ""}),
        ),
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + _file(*ROWS),
        _file(*ROWS, end="\r\n"),
        _file(*ROWS, end="\r"),
        _file(*ROWS).rstrip(b"\n"),
        _file(*ROWS, header="image, label ,note"),
        _file(*[f"{row},," for row in ROWS], header=f"{HEADER},,"),
        _file(*[f"{row},," for row in ROWS]),
        _file(*[",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS], header='"image","label","note"'),
    ],
    ids=["BOM", "CRLF", "CR", "no last line end", "blanks", "nameless columns", "empty cells behind", "quotes"],
)
def test_what_means_the_same_is_read_alike(data: bytes):
    table = parse_table(data, ("image", "label"))
    assert [dict(each.values) for each in table.records] == [
        dict(zip(("image", "label", "note"), row.split(","), strict=True)) for row in ROWS
    ]


def test_blank_lines_are_passed_over_and_counted():
    table = parse_table(b"\n" + _file("", *ROWS[:3], ",,", "   ,,", "", *ROWS[3:]))
    assert (len(table.records), table.blank) == (24, 5)
    assert table.records[3].line == 10


def test_a_note_may_have_lines_commas_and_quotes():
    table = parse_table(_file('a.png,0,"two lines,\nwith ""words"", and a comma"', "b.png,1,x"))
    assert [each.values["note"] for each in table.records] == ['two lines,\nwith "words", and a comma', "x"]
    assert [each.line for each in table.records] == [2, 4]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_file(*ROWS[:5], 'a.png,1,"6 mm nodule', *ROWS[5:]), "line 7: a quote that begins here is never closed"),
        (_file(*ROWS[:5], 'img/a1.png,1,"old', *ROWS[5:9], 'img/b2.png,1,new"', *ROWS[9:]), "line 7: a quote that"),
        (
            _file(*ROWS[:5], 'img/a1.png,1,"old', *ROWS[5:9], 'img/b2.png,1,"new', *ROWS[9:]),
            "line 7: quotes do not fit",
        ),
        (_file("a.png,0,x,y"), "line 2: 4 cells, and the header has 3"),
        (_file("a.png,0,x", "b.png,0"), "line 3: the row ends before column note"),
        (_file("a.png,0,x", header="image,label,"), "line 2: a cell stands in a column that has no name"),
        (_file("a.png,0,x", header="image,label,label"), "line 1: column label is there twice"),
        (_file("a.png,0,x", header="Image,label,note"), "no column image; it has Image, label, note"),
        (_file("a;0;x", header="image;label;note"), "cells are separated by semicolons"),
        (_file("a\t0\tx", header="image\tlabel\tnote"), "cells are separated by tabs"),
        (b"sep=,\n" + _file("a.png,0,x"), "line 1: remove this line, which is for Excel alone"),
        ("image,label\n".encode("utf-16"), "it is UTF-16"),
        (_file("a.png,0,x") + b"b.png,0,Ergu\xdf\n", "line 3: byte 0xdf is no UTF-8"),
        (_file("a.png,0,x", "b.png,0,\0"), "line 3: it holds a NUL"),
        (b"", "no column image, label; it has none"),
    ],
)
def test_what_cannot_be_read_as_it_stands_is_refused_with_its_line(data: bytes, message: str):
    with pytest.raises(TableError) as raised:
        parse_table(data, ("image", "label"))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        *("1.23457E+11", "1.2e+05", "1,5E+10", "-3E+100", "1.23457E11"),
        *("nan", "NaN", "None", "NULL", "N/A", " ", "", "#REF!", "#NAME?", "####"),
        *("p1\u200b", "p\u00a01", "p\x0b2", "p\n2", "p\u202e2", "Mu\u0308ller"),  # each looks like another one
    ],
)
def test_what_names_nobody(text: str):
    assert identifier_fault(text)


@pytest.mark.parametrize(
    "text", ["123457000001", "nih:1335", "Müller", "山田 1", "1E5", "Nancy", "A-1.5", "E+11", "own:12"]
)
def test_what_may_name_somebody(text: str):
    assert identifier_fault(text) == ""


FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''=1",
    '=HYPERLINK("http://x")',
    "\n=1",
    "\uff1dcmd()",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_that_we_write_is_a_formula_and_it_is_read_as_what_it_was(text: str):
    cell = written(text)
    assert cell[0] == "'"
    assert plain(cell) == text
    stream = io.StringIO(newline="")
    writer = TableWriter(stream)
    writer.row(["image", "label"])
    writer.row([text, 1])
    (record,) = parse_table(stream.getvalue().encode()).records
    assert record.values["image"] == text


@pytest.mark.parametrize("value", ["-1.5", "+3", "1e-5", "a=b", "", "'quoted'", "O'Neil", -1.5, None, 3])
def test_what_is_no_formula_is_written_as_it_is(value: object):
    assert written(value) == value


def test_a_manifest_of_names_that_are_formulas_is_written_without_one_and_read_as_it_was(tmp_path: Path):
    rows = [
        Row(tmp_path / name, 1, f"own:{number}", columns={"=note": name, "other": "-1.5"})
        for number, name in enumerate(("=1+1.png", "@b.png", "-c.png", "+d.png"))
    ]
    for row in rows:
        row.image.write_bytes(row.patient.encode())
    write_manifest(tmp_path / "own.csv", rows)
    text = (tmp_path / "own.csv").read_text()
    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
    assert {cell for cell in cells if cell[:1] in "=+-@" and cell} == {"-1.5"}
    read = read_manifest(tmp_path / "own.csv")
    assert [(row.image.resolve(), row.columns) for row in read] == [(row.image.resolve(), row.columns) for row in rows]


@pytest.mark.parametrize("text", ["a;=1+1", "a\t=1+1", "a\n=1+1", "a|=1", 'a";=1', "a\r\n=1"])
def test_a_separator_of_other_languages_stands_in_quotes(text: str):
    stream = io.StringIO(newline="")
    TableWriter(stream).row([text, None])
    assert stream.getvalue() == '"' + text.replace('"', '""') + '",\n'
    assert next(csv.reader(io.StringIO(stream.getvalue(), newline=""))) == [text, ""]


@pytest.mark.parametrize("room", ["triage", "training", "export"])
def test_every_table_is_written_by_the_one_writer(room: str):
    folder = Path(__file__).parents[2] / room
    found = [path.name for path in folder.rglob("*.py") if re.search(r"csv\.(writer|DictWriter)", path.read_text())]
    assert found == []
