"""The models that ship: what their cards say of licence and adults is so."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from training.commands.prepare import prepare
from training.data.cases import TrainingCase, read_cases
from triage.model.card import ModelCard, load_cards
from triage.statistics.intervals import auc, auc_within, exact_interval, patient_bootstrap
from triage.validation.cohort.manifest import Row, read_manifest

ROOT = Path(__file__).parents[2]
OUT_OF_FOLD = ROOT / "docs" / "results" / "runs" / "rsna-adult"
LOOK = ROOT / "docs" / "validation" / "rsna-adult-on-nih-expert"


@pytest.fixture(scope="module")
def cards() -> dict[str, ModelCard]:
    return load_cards(ROOT / "models")


def test_every_model_says_what_it_learnt_from_and_under_what_its_weights_may_be_used(
    cards: dict[str, ModelCard],
) -> None:
    text = " ".join((ROOT / "models" / "LICENSE").read_text(encoding="utf-8").split()).lower()
    for name, card in cards.items():
        assert card.licence is not None
        assert card.training.images_file, "a validation could not leave them out"
        own = text.partition(f" {name} ")[2][:120]
        assert own.startswith(card.licence.weights.lower())


def test_what_learnt_from_rsnas_labels_is_not_for_commercial_use(cards: dict[str, ModelCard]) -> None:
    learnt = {name for name, card in cards.items() if "RSNA" in " ".join(card.training.data)}
    assert learnt == {name for name, card in cards.items() if card.licence and not card.licence.commercial}
    assert "rsna-adult" in learnt


def test_the_card_is_what_the_description_says(cards: dict[str, ModelCard]) -> None:
    for name, card in cards.items():
        about = tomllib.loads((ROOT / "export" / "cards" / f"{name}.toml").read_text(encoding="utf-8"))
        for finding, described in zip(card.findings, about["findings"], strict=True):
            keys = described.keys() - {"target"}
            assert finding.model_dump(include=keys) == {key: described[key] for key in keys}
        assert card.abnormal.negative_is_normal == about["abnormal"]["negative_is_normal"]
        assert card.licence is not None and card.licence.model_dump() == about["licence"]
        assert list(card.limits[: len(about["limits"])]) == about["limits"]


def test_the_adult_model_has_two_findings_and_says_how_good_they_are_together(cards: dict[str, ModelCard]) -> None:
    card = cards["rsna-adult"]
    assert [(each.name, each.counts, each.negative_means) for each in card.findings] == [
        ("abnormal", True, "absent"), ("lung_opacity", True, "absent"),
    ]  # fmt: skip
    (together,) = card.abnormal.performance
    alone = card.leading.operating_points[0]
    assert alone.sensitivity is not None and together.figures["sensitivity"].value >= alone.sensitivity.value
    assert not any(each.measured for each in card.findings), "no finding of ours may be called critical"


@pytest.mark.parametrize("finding", ["abnormal", "lung_opacity"])
def test_the_figures_of_adults_are_those_of_the_scores_out_of_fold(
    cards: dict[str, ModelCard], triage_data: Path, tmp_path: Path, finding: str
) -> None:
    known = {case.picture: case for case in adults(triage_data, tmp_path / "rsna.csv")}
    scores = {row["picture"]: float(row[finding]) for path in OUT_OF_FOLD.glob("fold*.csv") for row in table(path)}
    assert scores.keys() == known.keys()
    cases = [known[picture] for picture in scores]
    labels = np.array([is_positive(case, finding) for case in cases])
    logits = np.array(list(scores.values())) + added(cards["rsna-adult"], finding)
    views, patients = np.array([case.view for case in cases]), [case.patient for case in cases]
    (described,) = (each for each in cards["rsna-adult"].findings if each.name == finding)
    stated = described.performance[0].figures
    within = patient_bootstrap(lambda some: auc_within(labels[some], logits[some], views[some]), patients)
    assert_figure(stated["auc within view"], auc_within(labels, logits, views.tolist()), within)
    called, positive = logits >= 0, labels > 0.5
    for name, right in (("sensitivity at 0.5", called[positive]), ("specificity at 0.5", ~called[~positive])):
        assert stated[name].n == len(right)
        assert_figure(stated[name], float(right.mean()), exact_interval(int(right.sum()), len(right)))


@pytest.mark.parametrize("finding", ["abnormal", "lung_opacity"])
def test_the_figures_of_the_look_are_those_of_the_scores_that_were_kept(
    cards: dict[str, ModelCard], triage_data: Path, tmp_path: Path, finding: str
) -> None:
    manifest = tmp_path / "expert.csv"
    source = ["--source", str(triage_data / "nih-chestxray14"), "--out", str(manifest)]
    chosen = ["--part", "expert", "--validation", "0", "--keep-paper-test", "--ages", "adults"]
    assert CliRunner().invoke(prepare, ["nih-sample", *chosen, *source]).exit_code == 0
    labels = {row.image.name: is_positive_row(row, finding) for row in read_manifest(manifest) if row.split == "expert"}
    kept = {row["image"]: score_of(row["findings"], finding) for row in table(LOOK / "predictions.csv")}
    assert kept.keys() < labels.keys(), "some are of patients who trained it"
    (stated,) = (
        each.figures
        for described in cards["rsna-adult"].findings
        for each in described.performance
        if described.name == finding and each.cohort == "NIH expert part, 274 adults"
    )
    called = {name: score >= 0.5 for name, score in kept.items()}
    for figure, of, right in (("sensitivity at 0.5", 1, True), ("specificity at 0.5", 0, False)):
        found = [called[name] == right for name in kept if labels[name] == of]
        assert stated[figure].n == len(found)
        assert_figure(stated[figure], sum(found) / len(found), exact_interval(sum(found), len(found)))
    expected = auc(np.array([labels[name] for name in kept]), np.array(list(kept.values())))
    assert stated["auc"].value == pytest.approx(expected, abs=1e-4)


def is_positive_row(row: Row, finding: str) -> int:
    """Return the label of a finding in a row of the NIH sample."""
    return row.label if finding == "abnormal" else row.labels[finding]


def score_of(findings: str, finding: str) -> float:
    """Return a finding's score of ``NAME=SCORE@THRESHOLD|...``."""
    return float(dict(each.partition("=")[::2] for each in findings.split("|"))[finding].partition("@")[0])


def is_positive(case: TrainingCase, finding: str) -> float:
    """Return the label of a finding: of RSNA's three classes."""
    return float(case.label if finding == "abnormal" else case.columns["rsna_class"] == "Lung Opacity")


def added(card: ModelCard, finding: str) -> float:
    """Return the shift that export added to the networks' logits, so that 0.5 is at the card's operating point."""
    (text,) = (limit for limit in card.limits if limit.startswith(f"{finding}: ") and "is added to the logit" in limit)
    return float(text.split()[1])


def adults(triage_data: Path, manifest: Path) -> list[TrainingCase]:
    """Whom the recipe was judged on."""
    source = ["--source", str(triage_data / "rsna-pneumonia"), "--out", str(manifest)]
    done = CliRunner().invoke(prepare, ["rsna-sample", "--kind", "full", "--folds", "3", *source])
    assert done.exit_code == 0, done.output
    return [case for case in read_cases([manifest]) if case.split == "train"]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_figure(stated: object, value: float, bounds: tuple[float, float]) -> None:
    found = [getattr(stated, name) for name in ("value", "low", "high")]
    assert found == pytest.approx([value, *bounds], abs=6e-5)
