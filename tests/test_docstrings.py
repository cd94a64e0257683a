"""Docstrings open with what a thing does or is; words that make a riddle of a sentence stand nowhere in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(each for name in ("triage", "training") for each in (ROOT / name).iterdir() if each.is_dir())
PLACES = [each for each in (*PACKAGES, ROOT / "export") if list(each.rglob("*.py"))]
OPENERS = {
    "What",
    "Whether",
    "Who",
    "Whose",
    "Where",
    "How",
    "When",
    "Which",
    "Why",
    "Of",
    "As",
    "That",
    "Those",
    "From",
    "For",
    "If",
    "In",
    "With",
    "To",
    "At",
    "So",
    "By",
    "On",
    "Until",
    "Since",
}
OLD_KEYS = ("triage/decision/records.py", "training/config_keys.py")
"""Files that read a stored key of 0.1 with such a word."""
RIDDLES = re.compile(r"\b(nobody|somebody|anybody|whoever|beside|aside)\b", re.IGNORECASE)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Every docstring of modules, classes and functions, with the line of what it describes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place.relative_to(ROOT)))
def test_a_docstring_says_what_it_does_or_is(place: Path) -> None:
    openings = [
        (f"{path.relative_to(ROOT)}:{line}", text.splitlines()[0])
        for path in place.rglob("*.py")
        for line, text in docstrings(path)
        if text.split()[0].strip(",") in OPENERS
    ]
    assert openings == []


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place.relative_to(ROOT)))
def test_no_riddles(place: Path) -> None:
    lines = [
        (f"{path.relative_to(ROOT)}:{number}", line.strip())
        for path in place.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if RIDDLES.search(line) and str(path.relative_to(ROOT)) not in OLD_KEYS
    ]
    assert lines == []


def test_there_is_something_to_read() -> None:
    assert sum(1 for place in PLACES for path in place.rglob("*.py") for _ in docstrings(path)) > 3000


CODE = re.compile(r"`[^`]*`")
PAGES = [
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "docs/how-to/*.md",
        "docs/explanation/*.md",
        "docs/reference/*.md",
        "deploy/**/*.*",
        "triage/**/*.html",
        "triage/**/*.js",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md"
    and path.suffix in (".md", ".yml", ".yaml", ".toml", ".json", ".conf", ".html", ".js")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_riddles_in_pages(page: Path) -> None:
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    assert [(number, line) for number, line in lines if RIDDLES.search(CODE.sub("", line))] == []
