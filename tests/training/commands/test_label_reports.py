"""`label-reports`: labels, disagreements for a person, and the person's corrections read back."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.cohort_trees import read, report, run, table

TEXTS = {
    1: (["normal"], "The lungs are clear."),
    2: (["Opacity/lung"], "Opacity in the left lung."),
    3: (["normal"], "Mild degenerative changes of the spine."),
    4: (["Cardiomegaly"], "The heart is normal in size."),
    5: (["normal"], ""),
    6: (["No Indexing"], "Small effusion."),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    for number, (mesh, findings) in TEXTS.items():
        (tmp_path / "reports" / f"{number}.xml").write_text(report(number, mesh, findings))
    return tmp_path / "reports"


def _run(*arguments: object) -> str:
    result = run("label-reports", *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_reports_are_labelled_and_scored_against_mesh(source: Path, tmp_path: Path) -> None:
    output = _run(source, "--out", tmp_path / "labels.csv")
    assert "6 reports: 2 normal, 3 abnormal, 1 without a label" in output
    assert "agreement 0.5000" in output
    assert "on 4 reports; both normal 1, both abnormal 1, rules alone abnormal 1, MeSH alone abnormal 1" in output
    assert {row["report"]: (row["label"], row["mesh"]) for row in read(tmp_path / "labels.csv")} == {
        "1": ("0", "0"), "2": ("1", "1"), "3": ("1", "0"), "4": ("0", "1"), "5": ("", "0"), "6": ("1", ""),
    }  # fmt: skip


def test_disagreements_are_listed_with_the_sentence_and_corrections_come_back(source: Path, tmp_path: Path) -> None:
    listed = tmp_path / "disagreements.csv"
    _run(source, "--disagreements", listed)
    rows = read(listed)
    assert [(row["report"], row["sentence"]) for row in rows] == [
        ("3", "Mild degenerative changes of the spine"),
        ("4", "The heart is normal in size"),
        ("5", ""),
    ]
    assert listed.stat().st_mode & 0o077 == 0
    answers = {"3": 1, "4": 1, "5": ""}
    corrected = table(
        tmp_path / "corrected.csv", ("report", "corrected"), [(row["report"], answers[row["report"]]) for row in rows]
    )
    output = _run(source, "--corrections", corrected, "--out", tmp_path / "labels.csv")
    assert "a person read 2: the rules were right in 1, wrong in 1" in output
    assert "against MeSH as corrected: agreement 0.7500" in output
    assert {row["report"]: row["corrected"] for row in read(tmp_path / "labels.csv") if row["corrected"]} == {
        "3": "1", "4": "1",
    }  # fmt: skip


def test_a_correction_that_is_neither_is_named(source: Path, tmp_path: Path) -> None:
    wrong = table(tmp_path / "c.csv", ("report", "corrected"), [(1, 0), (2, "maybe")])
    result = run("label-reports", source, "--corrections", wrong)
    assert result.exit_code != 0
    assert "line 3: corrected 'maybe' is neither 0 nor 1" in result.output


def test_the_halves_are_apart_and_whole(source: Path, tmp_path: Path) -> None:
    found = []
    for half in ("develop", "held-out"):
        _run(source, "--half", half, "--out", tmp_path / f"{half}.csv")
        found.append({row["report"] for row in read(tmp_path / f"{half}.csv")})
    assert found[0] | found[1] == {str(number) for number in TEXTS}
    assert not found[0] & found[1]


def test_reports_of_ones_own_as_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "own.csv", ("report", "text"), [("A", "Clear lungs."), ("B", "Cardiomegaly.")])
    output = _run(path, "--out", tmp_path / "labels.csv")
    assert "against MeSH" not in output
    assert [row["label"] for row in read(tmp_path / "labels.csv")] == ["0", "1"]
    table(path, ("report", "text"), [("A", "x"), ("A", "y")])
    assert "line 3: report 'A' is there already" in run("label-reports", path).output


def test_a_file_that_is_no_report_is_named(source: Path) -> None:
    (source / "7.xml").write_text("<eCitation>")
    result = run("label-reports", source)
    assert result.exit_code != 0
    assert "7.xml is not XML" in result.output


def test_the_results_page_states_these_rules_and_the_develop_half(triage_data: Path) -> None:
    """The held-out half was looked at once, with the rules whose digest the page states; it is not looked at here."""
    page = Path("docs/results/labeller.md").read_text(encoding="utf-8")
    assert sha256(Path("triage/report_labeller/rules.toml").read_bytes()).hexdigest() in page
    output = _run(triage_data / "indiana", "--half", "develop")
    match = re.search(r"kappa (\S+) \((\S+)-(\S+)\) on (\d+)", output)
    assert match is not None
    kappa, low, high, n = match.groups()
    assert f"| develop | strict | {int(n):,} |" in page
    assert f"{float(kappa):.3f} ({float(low):.3f}-{float(high):.3f})" in page
