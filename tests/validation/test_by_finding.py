"""Labels, figures and readers by finding: from the manifest to metrics.json, the page and the bars."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.support.model_folders import write_model
from tests.validation.test_validate import PATIENTS, images, rows, run
from triage.model.card import ModelCard
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute
from triage.validation.cohort.manifest import ManifestError, Row, read_manifest, write_manifest
from triage.validation.cohort.members import Member
from triage.validation.measures import bars
from triage.validation.measures.by_finding import Measuring, measure_findings
from triage.validation.measures.cohort_record import ChosenThreshold, Draws, MeasureOptions, measure_cohort
from triage.validation.report.card_page import card_page, read_metrics
from triage.validation.scores.external import read_finding_readers, read_finding_scores, read_readers
from triage.validation.scores.prediction import FoundScore, Prediction
from triage.validation.scores.predictions import Scoring, read_predictions, scored_images
from triage.validation.sources import GivenScores

__all__ = ["images"]  # the fixture
ABNORMAL = {"name": "abnormal", "title": "Abnormal", "negative_means": "absent"}
OPACITY = {"name": "lung_opacity", "title": "Lung opacity", "bias": -0.5}
OPTIONS = MeasureOptions((ChosenThreshold("0.5", 0.5, "for tests"),), rounds=50)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return write_model(tmp_path_factory.mktemp("models"), "two", findings=[ABNORMAL, OPACITY])


def a_prediction(number: int, scores: dict[str, float], **changes: Any) -> Prediction:
    found = tuple(FoundScore(name, score, 0.5) for name, score in scores.items())
    values = {"image": f"{number}.png", "digest": "", "key": "", "label": 0, "study": f"s{number}", "tag": "NORMAL"}
    values |= {"probability": found[0].probability, "reasons": (), "view": "PA", "age_years": 40.0, "distance": 1.0}
    return Prediction(**{**values, "findings": found, **changes})


def a_member(number: int, label: int, **labels: int) -> Member:
    return Member(f"{number}.png", Row(Path(f"{number}.png"), label, f"p{number}", labels=labels), "")


def measured(card: ModelCard, members: list[Member], found: list[Prediction], **readers: Any) -> Any:
    draws = Draws(OPTIONS.rounds, 0)
    leading = measure_cohort(scored_images(found, members), OPTIONS, draws)
    return measure_findings(card, members, found, readers, leading, Measuring(OPTIONS, draws))


def test_labels_of_findings_are_read_and_written_and_an_empty_cell_is_not_labelled(
    tmp_path: Path, images: Path
) -> None:
    path = tmp_path / "cohort.csv"
    written = [replace(row, labels={"lung_opacity": row.label}) if n % 3 else row for n, row in enumerate(rows(images))]
    write_manifest(path, written)
    assert "label:lung_opacity" in path.read_text().splitlines()[0]
    found = read_manifest(path)
    assert [row.labels for row in found] == [row.labels for row in written]
    assert all("label:lung_opacity" not in row.columns for row in found)
    path.write_text(path.read_text().replace("label:lung_opacity", "label:Lung Opacity"))
    with pytest.raises(ManifestError, match="names no finding"):
        read_manifest(path)
    write_manifest(path, [replace(written[1], labels={"lung_opacity": 2})])
    with pytest.raises(ManifestError, match="label:lung_opacity '2' is not 0 or 1"):
        read_manifest(path)


def test_eighteen_findings_of_0_95_leave_0_40_after_combination(tmp_path: Path) -> None:
    names = [f"finding_{number}" for number in range(18)]
    card = write_model(tmp_path, "many", findings=[{"name": name} for name in names])
    rng = np.random.default_rng(0)
    count = 1500
    raised = rng.random((count, 18)) > 0.95  # of healthy patients, each finding errs in 5 %
    members = [a_member(n, int(n % 10 == 0), **dict.fromkeys(names, int(n % 10 == 0))) for n in range(count)]
    found = [
        a_prediction(n, {name: 0.9 if n % 10 == 0 or raised[n, k] else 0.1 for k, name in enumerate(names)})
        for n in range(count)
    ]
    metrics = measured(card, members, found)
    for each in metrics["findings"]:
        assert each["in_force"]["image"]["worst_case"]["figures"]["specificity"]["value"] == pytest.approx(
            0.95, abs=0.02
        )
    for unit in ("image", "study"):
        figures = metrics["combined"][unit]["worst_case"]["figures"]
        assert figures["specificity"]["value"] == pytest.approx(0.95**18, abs=0.04)
        assert figures["sensitivity"]["value"] == 1
    mean = metrics["macro_average"]["worst_case"]
    low, high = mean["specificity"]["intervals"]["bootstrap"]
    assert low < mean["specificity"]["value"] < high and low > 0.93


def test_each_finding_is_measured_on_its_own_labels_by_its_thresholds_and_one_that_does_not_count_raises_nothing(
    tmp_path: Path,
) -> None:
    card = write_model(tmp_path, "two", findings=[ABNORMAL, {**OPACITY, "counts": False}])
    members = [a_member(0, 1, lung_opacity=1), a_member(1, 0, lung_opacity=0), a_member(2, 1), a_member(3, 0)]
    found = [
        a_prediction(0, {"abnormal": 0.9, "lung_opacity": 0.4}),
        a_prediction(1, {"abnormal": 0.2, "lung_opacity": 0.6}),
        a_prediction(2, {"abnormal": 0.8, "lung_opacity": 0.9}),
        a_prediction(3, {"abnormal": 0.1, "lung_opacity": 0.9}, reasons=("undecodable",), probability=None),
    ]
    lowered = [replace(found[0], findings=(found[0].findings[0], FoundScore("lung_opacity", 0.4, 0.3))), *found[1:]]
    metrics = measured(card, members, lowered)
    abnormal, opacity = metrics["findings"]
    assert (abnormal["label_column"], opacity["label_column"]) == ("label", "label:lung_opacity")
    assert (abnormal["image"]["n"], opacity["image"]["n"]) == (4, 2)
    assert opacity["in_force"]["thresholds"] == [0.3, 0.5]
    assert opacity["in_force"]["image"]["assessed"]["confusion"] == {"tp": 1, "fp": 1, "tn": 0, "fn": 0}
    assert opacity["image"]["points"][0]["assessed"]["confusion"] == {"tp": 0, "fp": 1, "tn": 0, "fn": 1}
    assert metrics["combined"]["findings"] == ["abnormal"]
    assert metrics["combined"]["image"]["worst_case"]["confusion"] == {"tp": 2, "fp": 1, "tn": 1, "fn": 0}
    assert metrics["combined"]["image"]["assessed"]["confusion"] == {"tp": 2, "fp": 0, "tn": 1, "fn": 0}


def test_a_study_is_positive_if_one_image_is_and_the_tag_is_measured_per_study(two: ModelCard) -> None:
    members = [a_member(n, label, lung_opacity=label) for n, label in enumerate((1, 1, 0, 0))]
    members = [replace(m, row=replace(m.row, patient=f"p{n // 2}")) for n, m in enumerate(members)]
    scores = [{"abnormal": 0.1, "lung_opacity": 0.1}, {"abnormal": 0.1, "lung_opacity": 0.7}] + [
        {"abnormal": 0.1, "lung_opacity": 0.1}
    ] * 2
    found = [a_prediction(n, each, study=f"s{n // 2}") for n, each in enumerate(scores)]
    metrics = measured(two, members, found)
    assert metrics["combined"]["image"]["worst_case"]["confusion"] == {"tp": 1, "fp": 0, "tn": 2, "fn": 1}
    assert metrics["combined"]["study"]["worst_case"]["confusion"] == {"tp": 1, "fp": 0, "tn": 1, "fn": 0}


def test_readers_of_a_finding_are_held_against_its_labels(tmp_path: Path, two: ModelCard) -> None:
    calls = tmp_path / "readers.csv"
    calls.write_text("image,reader,label,finding\n0.png,A,1,lung_opacity\n1.png,A,1,lung_opacity\n0.png,A,0,\n")
    assert read_readers(calls) == {"A": {"0.png": 0.0}}
    assert read_finding_readers(calls) == {"lung_opacity": {"A": {"0.png": 1.0, "1.png": 1.0}}}
    calls.write_text("image,reader_A:lung_opacity,reader_Dr. B\n0.png,1,0\n")
    assert read_finding_readers(calls) == {"lung_opacity": {"A": {"0.png": 1.0}}}
    assert read_readers(calls) == {"Dr. B": {"0.png": 0.0}}
    members = [a_member(0, 1, lung_opacity=1), a_member(1, 0, lung_opacity=0), a_member(2, 0)]
    found = [a_prediction(n, {"abnormal": 0.5, "lung_opacity": 0.5}) for n in range(3)]
    metrics = measured(two, members, found, lung_opacity={"A": [1.0, 1.0, 0.0]})
    (reader,) = metrics["findings"][1]["readers"]
    assert (reader["name"], reader["n"]) == ("A", 2)
    assert (reader["sensitivity"]["value"], reader["specificity"]["value"]) == (1.0, 0.0)


def test_the_command_measures_both_findings_and_the_page_shows_them(
    tmp_path: Path, images: Path, two: ModelCard
) -> None:
    manifest, out = tmp_path / "cohort.csv", tmp_path / "out"
    write_manifest(
        manifest,
        [
            replace(
                row,
                labels={"lung_opacity": row.label, "fracture": 0} if n % 4 else {},
                columns={**row.columns, "reader_A:lung_opacity": "1"},
            )
            for n, row in enumerate(rows(images))
        ],
    )
    folder = tmp_path / "models"
    write_model(folder, "two", findings=[ABNORMAL, OPACITY])
    bar = ("--require", "lung_opacity:coverage_lower>=0.5", "--require", "combined:study.sensitivity_lower>=0.01")
    done = run(folder / "two", manifest, out, *bar, "--require", "macro:auc_lower>=0.2")
    assert done.exit_code == 0, done.output
    assert "by finding" in done.output and "opacity" in done.output
    metrics = json.loads((out / "metrics.json").read_text())
    predictions = list(read_predictions(out / "predictions.csv"))
    abnormal, opacity = metrics["findings"]
    assert (abnormal["image"]["n"], opacity["image"]["n"]) == (2 * PATIENTS, 2 * PATIENTS * 3 // 4)
    labelled = [n for n in range(2 * PATIENTS) if n % 4]
    scores = [predictions[n].findings[1].probability for n in labelled]
    assert all(predictions[n].findings[0].probability > predictions[n].findings[1].probability for n in labelled)
    expected = roc_auc_score([n // 2 % 2 for n in labelled], scores)
    assert opacity["image"]["auc"]["assessed"]["value"] == pytest.approx(expected)
    assert metrics["combined"]["study"]["worst_case"]["figures"]["accuracy"]["n"] == PATIENTS
    assert any("labels of fracture, and the model has no such finding" in each for each in metrics["warnings"])
    assert "reader_A" not in str(metrics["subgroups"])
    page = (out / "report.html").read_text()
    assert "<h2>By finding</h2>" in page and "Readers of Lung opacity" in page and "the tag: any that counts" in page
    card = card_page(two, [read_metrics(out / "metrics.json")])
    for part in (
        "- Abnormal (`abnormal`)",
        "| Lung opacity: default | 0.5 |",
        "mean of the findings",
        "the tag, per study",
    ):
        assert part in card


def test_given_scores_may_be_of_several_findings(tmp_path: Path, two: ModelCard) -> None:
    table = tmp_path / "as-shipped.csv"
    table.write_text("image,probability,probability:lung_opacity\n0.png,0.9,0.2\n1.png,0.1,\n2.png,,0.7\n")
    assert read_finding_scores(table) == {"lung_opacity": {"0.png": 0.2, "1.png": None, "2.png": 0.7}}
    members = [a_member(n, int(n == 0), lung_opacity=0) for n in range(3)]
    scoring = Scoring(tmp_path, two, AssessmentPolicy(), Compute())
    found = GivenScores(table).predict(members, scoring, tmp_path, lambda *_: None).predictions
    assert [[str(each) for each in one.findings] for one in found] == [
        ["abnormal=0.9@0.5", "lung_opacity=0.2@0.5"], ["abnormal=0.1@0.5"], [],
    ]  # fmt: skip
    assert list(read_predictions(tmp_path / "predictions.csv")) == list(found)


@pytest.mark.parametrize(
    ("bar", "message"),
    [
        ("effusion:auc_lower>=0.5", "before the colon stands one of abnormal, lung_opacity, combined, macro"),
        ("combined:auc_lower>=0.5", "there are sensitivity"),
        ("macro:study.auc_lower>=0.5", "there is no such figure"),
        ("lung_opacity:auc_lower[view=AP]>=0.5", "no groups"),
        ("lung_opacity:brier_upper<=0.5", "no calibration"),
    ],
)
def test_a_bar_of_no_figure_is_refused(two: ModelCard, bar: str, message: str) -> None:
    members = [a_member(n, n % 2, lung_opacity=n % 2) for n in range(4)]
    metrics = measured(two, members, [a_prediction(n, {"abnormal": 0.9, "lung_opacity": 0.9}) for n in range(4)])
    with pytest.raises(bars.BarError, match=message):
        bars.hold(bars.parse(bar), metrics)


def test_a_record_of_schema_1_is_read(tmp_path: Path) -> None:
    old = Path(__file__).parents[2] / "docs" / "validation" / "rsna-adult-out-of-fold" / "metrics.json"
    record = json.loads(old.read_text())
    kept = {key: value for key, value in record.items() if key not in ("findings", "macro_average", "combined")}
    (tmp_path / "metrics.json").write_text(json.dumps({**kept, "metrics_schema": 1}))
    found = read_metrics(tmp_path / "metrics.json")
    assert found["findings"] == [] and found["combined"] is None
