"""The paper's cohorts: its facts, the verdicts, and what can be recomputed exactly."""

from __future__ import annotations

import csv
import gzip
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from tests.support.model_folders import write_model
from triage.cli import triage
from triage.validation.measures import paper, published_labels
from triage.validation.measures.cohort_record import Draws
from triage.validation.measures.paper import PaperCohort, PaperVerdict
from triage.validation.report.card_page import card_page
from triage.validation.scores.external import majority
from triage.validation.scores.predictions import PredictionsError

ROOT = Path(__file__).parents[3]


def measured(auc: tuple[float, float], sensitivity: tuple[float, float], specificity: tuple[float, float]) -> Any:
    def figure(bounds: tuple[float, float]) -> dict[str, Any]:
        return {"value": sum(bounds) / 2, "n": 1344, "intervals": {"bootstrap": list(bounds)}}

    figures = {"sensitivity": figure(sensitivity), "specificity": figure(specificity)}
    return {
        "auc": {"worst_case": figure(auc)},
        "points": [{"threshold": 0.2}, {"threshold": 0.5, "worst_case": {"figures": figures}}],
    }


IMAGES = [(f"{n}.png", n % 2) for n in range(20)]
COHORT = PaperCohort(
    name="toy",
    title="toy",
    source="none",
    model="none",
    positives=10,
    negatives=10,
    images_sha256=paper.digest_of(IMAGES),
    threshold=0.5,
    figures={"auc": 0.95, "sensitivity": 0.9, "specificity": 0.9},
    notes=(),
    others=(),
)


def verdict(figures: Any, cohort: PaperCohort = COHORT, images: Any = IMAGES, **changes: Any) -> PaperVerdict:
    return paper.compare(cohort, images, figures, **{"trained_on": 0, "left_out": 0, **changes}).verdict


NEAR = (0.88, 0.92)


@pytest.mark.parametrize(
    ("auc", "sensitivity", "expected"),
    [
        ((0.935, 0.965), NEAR, PaperVerdict.REPRODUCES),
        ((0.93, 0.97), NEAR, PaperVerdict.REPRODUCES),
        ((0.975, 0.99), NEAR, PaperVerdict.BETTER),
        ((0.975, 0.99), (0.7, 0.8), PaperVerdict.FALLS_SHORT),
        ((0.90, 0.92), NEAR, PaperVerdict.FALLS_SHORT),
        ((0.91, 0.97), NEAR, PaperVerdict.INCONCLUSIVE),
        ((0.935, 0.965), (0.84, 0.92), PaperVerdict.INCONCLUSIVE),
    ],
)
def test_verdicts(auc: tuple[float, float], sensitivity: tuple[float, float], expected: PaperVerdict) -> None:
    found = verdict(measured(auc, sensitivity, NEAR))
    assert found is expected
    assert found.passes is (expected in (PaperVerdict.REPRODUCES, PaperVerdict.BETTER))


@pytest.mark.parametrize(
    ("figure", "low", "expected"),
    [
        (0.9851, 0.994, PaperVerdict.BETTER),  # 0.9851 + 0.02 would be beyond 1
        (0.9851, 0.993, PaperVerdict.REPRODUCES),
        (0.9492, 0.964, PaperVerdict.BETTER),
        (0.5, 0.521, PaperVerdict.BETTER),  # in the middle both margins are the same
        (0.5, 0.519, PaperVerdict.INCONCLUSIVE),
        (1.0, 1.0, PaperVerdict.REPRODUCES),
    ],
)
def test_better_can_be_reached_wherever_the_papers_figure_lies(
    figure: float, low: float, expected: PaperVerdict
) -> None:
    assert paper.verdict_of(figure, low, min(1.0, low + 0.03), 0.02) is expected


@pytest.mark.parametrize("figure", [0.6, 0.8, 0.95, 0.9851])
def test_better_is_as_far_above_in_log_odds_as_falling_short_is_below(figure: float) -> None:
    def log_odds(value: float) -> float:
        return math.log(value / (1 - value))

    above = log_odds(paper.better_above(figure, 0.02)) - log_odds(figure)
    assert above == pytest.approx(log_odds(figure) - log_odds(figure - 0.02))


def test_other_images_and_training_patients_cannot_be_compared() -> None:
    good = measured((0.935, 0.965), NEAR, NEAR)
    assert verdict(good, images=[(f"elsewhere/{name}", label) for name, label in IMAGES]) is PaperVerdict.REPRODUCES
    for changes in (
        {"images": IMAGES[:-2]},
        {"images": [*IMAGES[:-1], ("other.png", 1)]},
        {"images": [(name, 1 - label) for name, label in IMAGES]},
        {"trained_on": 1},
        {"trained_on": None},
        {"left_out": 3},
        {"cohort": replace(COHORT, images_sha256=None)},
        {"cohort": replace(COHORT, figures={})},
    ):
        found = verdict(good, **changes)  # type: ignore[arg-type]
        assert found is PaperVerdict.CANNOT_BE_COMPARED and not found.passes, changes


def test_the_paper_s_figures_fit_its_counts_where_they_do() -> None:
    """PPV and NPV follow from the others: with RSNA's 3,000 abnormals and not with the 4,532 of the text."""
    rsna = paper.paper_cohort("rsna-abnormal")
    assert rsna.positives + rsna.negatives == 4532
    for positives, fits in ((rsna.positives, True), (4532, False)):
        tp, fp = positives * rsna.figures["sensitivity"], rsna.negatives * (1 - rsna.figures["specificity"])
        assert (abs(tp / (tp + fp) - 0.9430) < 0.0005) is fits
    consensus = paper.paper_cohort("nih-consensus")
    found = consensus.figures["sensitivity"] * consensus.positives
    assert abs(found - round(found)) > 0.1  # no whole number of images: a mean over folds
    tp, fp = found, consensus.negatives * (1 - consensus.figures["specificity"])
    assert tp / (tp + fp) == pytest.approx(0.9274, abs=0.00005)
    for name in paper.names():
        cohort = paper.paper_cohort(name)
        assert cohort.source and cohort.notes
    assert paper.names() == ["nih-consensus", "nih-attending", "rsna-abnormal", "rsna-opacity", "indiana", "wcmc"]


def test_the_published_cohorts_are_known_by_their_images(triage_data: Path) -> None:
    for name, file in (("nih-consensus", published_labels.CONSENSUS), ("nih-attending", published_labels.ATTENDING)):
        lines = [line.split() for line in (triage_data / "nih-tang-splits" / file).read_text().splitlines()]
        images = [(image, int(label)) for image, label in lines]
        assert paper.digest_of(images) == paper.paper_cohort(name).images_sha256
    with (triage_data / "wcmc-pediatric" / "manifest.csv").open(newline="") as stream:
        test = [(row["image"], int(row["label"])) for row in csv.DictReader(stream) if row["split"] == "test"]
    assert paper.digest_of(test) == paper.paper_cohort("wcmc").images_sha256


def test_agreement_of_attending_and_consensus_is_the_paper_s(triage_data: Path) -> None:
    lists = published_labels.read_published_labels(triage_data)
    found = published_labels.agreement_between(lists.attending, lists.consensus)
    assert (found.n, found.agreed) == (1344, 1322)
    assert round(found.agreement, 4) == 0.9836
    assert round(found.kappa, 4) == 0.9673
    names = sorted(lists.consensus)
    calls = [[each[name] for name in names] for each in (lists.attending, lists.consensus)]
    assert found.kappa == pytest.approx(cohen_kappa_score(*calls))
    counts = [sum(each.values()) for each in (lists.attending, lists.consensus)]
    assert counts == [667, 653]
    reader = published_labels.reader_against(lists.consensus, lists.attending, Draws(200, 0))
    assert reader["sensitivity"].value == pytest.approx(649 / 653)
    assert reader["specificity"].value == pytest.approx(673 / 691)


def test_the_correction_of_disputed_reports_brings_the_labels_nearer_to_the_consensus(triage_data: Path) -> None:
    found = published_labels.disputed_reports(published_labels.read_published_labels(triage_data))
    assert (found.disputed, found.attending) == (21, 18)
    assert (found.wrong_before, found.wrong_after) == (37, 22)


def test_patients_are_apart_and_the_view_alone_separates_the_test(triage_data: Path) -> None:
    lists = published_labels.read_published_labels(triage_data)
    assert [len(each) for each in (lists.train, lists.validation, lists.consensus)] == [8574, 1706, 1344]
    parts = [published_labels.patients(each) for each in (lists.train, lists.validation, lists.consensus)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    found = published_labels.view_auc(lists.consensus, lists.table, Draws(200, 0))
    assert round(found.value, 2) == 0.72
    names = sorted(lists.consensus)
    views = [lists.table[name].view == "AP" for name in names]
    assert found.value == pytest.approx(roc_auc_score([lists.consensus[name] for name in names], views))


def test_the_committed_page_is_what_the_command_prints(triage_data: Path) -> None:
    done = CliRunner().invoke(triage, ["agreement", "--data", str(triage_data)], catch_exceptions=False)
    assert done.output == (ROOT / "docs" / "validation" / "agreement.md").read_text(), "run: triage agreement --out …"


@pytest.fixture
def lists_folder(tmp_path: Path) -> Path:
    """Four small lists and a table, in the published form."""
    splits, nih = tmp_path / "nih-tang-splits", tmp_path / "nih-chestxray14"
    splits.mkdir()
    nih.mkdir()
    names = {
        part: [f"{start + n:08d}_000.png" for n in range(10)] for part, start in (("a", 0), ("b", 100), ("c", 200))
    }
    for file, part, flipped in (
        (published_labels.TRAIN, "a", 0),
        (published_labels.VALIDATION, "b", 0),
        (published_labels.CONSENSUS, "c", 0),
        (published_labels.ATTENDING, "c", 2),
    ):
        lines = [f"{name} {n % 2 if n >= flipped else 1 - n % 2}\n" for n, name in enumerate(names[part])]
        (splits / file).write_text("".join(lines))
    with gzip.open(nih / published_labels.NIH_TABLE, "wt") as stream:
        stream.write("Image Index,Finding Labels,Patient ID,Patient Age,View Position\n")
        for name in (name for part in names.values() for name in part):
            stream.write(f"{name},No Finding,{int(name[:8])},{40},{'AP' if int(name[7]) % 2 else 'PA'}\n")
    return tmp_path


def test_agreement_needs_no_real_data_and_takes_readers(lists_folder: Path, tmp_path: Path) -> None:
    calls = tmp_path / "readers.csv"
    rows = [f"{200 + n:08d}_000.png,R{r},{(n % 2) ^ (n == r)}\n" for n in range(10) for r in range(3)]
    calls.write_text("image,reader,label\n" + "".join(rows))
    command = ["agreement", "--data", str(lists_folder), "--readers", str(calls), "--out", str(tmp_path / "page.md")]
    done = CliRunner().invoke(triage, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page.md").read_text()
    assert "| attending and consensus | 8 of 10, 80.00 %" in page
    assert "| R0 | majority of readers | 90.00 % of 10 | 0.8000 |" in page
    assert "| R0 | published consensus | 90.00 % of 10 | 0.8000 |" in page
    assert "Over 3 pairs of readers: agreement 80.00 % ± 0.00 %, kappa 0.6" in page
    assert "No patient is in more than one" in page


def test_lists_that_do_not_fit_are_refused(lists_folder: Path) -> None:
    file = lists_folder / "nih-tang-splits" / published_labels.ATTENDING
    file.write_text("elsewhere.png 1\n")
    done = CliRunner().invoke(triage, ["agreement", "--data", str(lists_folder)])
    assert done.exit_code == 78 and "different images" in done.output
    file.write_text("x.png abnormal\n")
    done = CliRunner().invoke(triage, ["agreement", "--data", str(lists_folder)])
    assert done.exit_code == 78 and "no list of the paper" in done.output
    done = CliRunner().invoke(triage, ["agreement"], env={"TRIAGE_DATA": ""})
    assert done.exit_code == 78 and "TRIAGE_DATA" in done.output


def test_a_tied_vote_is_no_vote() -> None:
    readers = {"a": {"1": 1.0, "2": 1.0}, "b": {"1": 1.0, "2": 0.0}, "c": {"1": 0.0, "2": None}}
    assert majority(readers) == {"1": 1.0, "2": None}


def test_a_card_page_says_what_is_not_known(tmp_path: Path) -> None:
    write_model(tmp_path, "plain")
    done = CliRunner().invoke(triage, ["card", str(tmp_path / "plain")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for heading in ("Intended use", "Reference standard", "Partition", "Failure analysis", "Fairness", "Limits"):
        assert f"\n## {heading}" in done.output
    assert done.output.count("not known") >= 10
    other = {"metrics_schema": 1, "model": {"sha256": "0" * 64, "name": "other", "version": "2"}}
    (tmp_path / "metrics.json").write_text(json.dumps(other))
    command = ["card", str(tmp_path / "plain"), "--metrics", str(tmp_path / "metrics.json")]
    done = CliRunner().invoke(triage, command)
    assert done.exit_code == 78 and "of other 2" in done.output
    with pytest.raises(PredictionsError):
        card_page(write_model(tmp_path, "again"), [other])
