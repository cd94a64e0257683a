"""The examples of the documentation, run."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.conftest import ROOT
from tests.test_docs import blocks
from triage.api import asserted, image_score, image_scorer

PAGE = ROOT / "docs/reference/python-api.md"
NOTEBOOK = ROOT / "examples/score_radiographs.py"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_the_page(workspace: Path) -> None:
    """In the order of the page, each example with what those before it have made."""
    text = "\n".join(blocks(PAGE.read_text(), "pycon"))
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 20
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(examples, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_the_readme(workspace: Path) -> None:
    (text,) = blocks((ROOT / "README.md").read_text(), "python")
    names: dict[str, object] = {}
    *before, last = text.strip().splitlines()
    exec("\n".join(before), names)
    assert str(eval(last, names)) == "NORMAL"  # noqa: S307


@pytest.mark.parametrize("module", [asserted, image_score, image_scorer], ids=lambda module: module.__name__)
def test_the_docstrings(workspace: Path, module: object) -> None:
    found = doctest.testmod(module, optionflags=OPTIONS)  # type: ignore[arg-type]
    assert found.attempted
    assert not found.failed


def test_the_notebook_runs_as_a_script(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(NOTEBOOK)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    said = ran.stdout.splitlines()
    assert sum(line.startswith("samples/") for line in said) == 7
    assert "samples/adult-1.dcm NORMAL 0.14" in said
    assert "an array of which nothing is said: NOT_ASSESSED, nothing was asserted of age_years" in ran.stdout
    assert (tmp_path / "samples/map.png").stat().st_size > 10_000


def test_the_notebook_is_one() -> None:
    """Jupytext, VS Code and Spyder take ``# %%`` for the beginning of a cell."""
    cells = [line for line in NOTEBOOK.read_text().splitlines() if line.startswith("# %%")]
    assert cells[0] == "# %% [markdown]"
    assert len(cells) >= 8
