"""Operating points chosen on some patients and certified on others."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.model_folders import write_model
from triage.cli import triage
from triage.model.card import ModelCard
from triage.model.points_entry import PointStratum
from triage.model.points_file import PointsFile, merged, read_points
from triage.statistics.intervals import exact_interval
from triage.statistics.sample_size import fewest_for
from triage.validation.choosing.cases import Case, Cases, check_apart, divided
from triage.validation.choosing.choose import ChoiceTask, StratumChoice, choose_points
from triage.validation.choosing.rule import ChoiceError, parse_rule
from triage.validation.choosing.strata import strata_of
from triage.validation.cohort.manifest import Row, write_manifest
from triage.validation.cohort.members import Member, ValidationCohort
from triage.validation.scores.prediction import FoundScore, Prediction
from triage.validation.scores.scored import CohortImage

ALL = PointStratum()
AT = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return write_model(tmp_path_factory.mktemp("models"), findings=[{"name": "abnormal"}])


def a_case(number: int, label: int, score: float | None, **facts: Any) -> Case:
    """One image, by default of a patient and a study of its own."""
    patient, study = facts.pop("patient", f"p{number}"), facts.pop("study", f"s{number}")
    values = {"view": "PA", "age_years": 40.0, "station": "", **facts}
    found = Prediction(
        image=f"{number}.png", digest="", key="", label=label, study=study, tag="", probability=score,
        reasons=() if score is not None else ("undecodable",), distance=None,
        findings=() if score is None else (FoundScore("abnormal", score, 0.5),), **values,
    )  # fmt: skip
    member = Member(f"{number}.png", Row(Path(f"{number}.png"), label, patient), f"{number:016x}" + "0" * 48)
    return Case(member, found, CohortImage(found.image, label, patient, study, score, score is not None, True))


def cases(*given: Case) -> Cases:
    return Cases(ValidationCohort(Path("ours.csv"), "a" * 64, "", (), 0), tuple(given))


def separated(positives: int, negatives: int, first: int = 0, **facts: Any) -> list[Case]:
    """Positives above 0.5, negatives below, evenly spread."""
    ill = [a_case(first + n, 1, 0.5 + n / (2 * positives), **facts) for n in range(positives)]
    well = [a_case(first + positives + n, 0, 0.49 * n / negatives, **facts) for n in range(negatives)]
    return ill + well


def chosen(
    card: ModelCard, rule: str, choosing: Cases, checking: Cases, *strata: PointStratum, reason: str = ""
) -> list[StratumChoice]:
    task = ChoiceTask(parse_rule(rule), card, "abnormal", "the physicist", AT, reason)
    return choose_points(task, strata or (ALL,), choosing, checking)


def test_the_highest_threshold_whose_exact_bound_holds_is_chosen_and_checked_on_other_cases(card: ModelCard) -> None:
    choosing, checking = cases(*separated(100, 100)), cases(*separated(200, 200, first=1000))
    (found,) = chosen(card, "sensitivity_lower>=0.95", choosing, checking)
    entry = found.entry
    assert exact_interval(100, 100)[0] >= 0.95 > exact_interval(99, 100)[0]
    assert entry.threshold == 0.5  # the lowest positive: none may be missed
    checked = entry.provenance.checked_on
    assert checked is not None and checked.figures["sensitivity"].low == pytest.approx(exact_interval(200, 200)[0])
    assert (checked.studies, checked.positive_patients, checked.images) == (400, 200, ())
    chose = entry.provenance.chosen_on
    assert chose is not None and len(chose.images) == 200
    assert (entry.provenance.by, entry.provenance.at, entry.expires) == ("the physicist", AT, None)
    assert entry.name == "abnormal 2026-11-29"
    more = cases(*separated(200, 100))
    (found,) = chosen(card, "sensitivity_lower>=0.95", more, checking)
    assert exact_interval(196, 200)[0] < 0.95 < exact_interval(197, 200)[0]
    assert found.entry.threshold == 0.5  # three may be missed, and then every other check would fail
    plenty = cases(*separated(2000, 200, first=5000))
    (found,) = chosen(card, "sensitivity_lower>=0.95", more, plenty)
    assert found.entry.threshold == 0.5075
    (found,) = chosen(card, "specificity_lower>=0.95", choosing, checking)
    assert found.entry.threshold == 0.5


def test_a_threshold_that_does_not_hold_on_the_other_cases_is_not_written(card: ModelCard) -> None:
    worse = [a_case(1000 + n, 1, 0.9 if n % 4 else 0.1) for n in range(200)] + separated(1, 100, first=2000)
    (found,) = chosen(card, "sensitivity_lower>=0.95", cases(*separated(100, 100)), cases(*worse))
    assert found.entry.threshold is None and "is not certified: on the cases that check" in found.refused


@pytest.mark.parametrize(("positives", "certified"), [(71, False), (72, True)])
def test_below_72_positive_patients_a_stratum_inherits(card: ModelCard, positives: int, certified: bool) -> None:
    assert fewest_for(0.95) == 72
    choosing, checking = cases(*separated(100, 100)), cases(*separated(positives, 100, first=1000))
    (found,) = chosen(card, "sensitivity_lower>=0.95", choosing, checking)
    assert (found.refused == "") is certified
    if not certified:
        assert found.refused == "71 positive patients among the cases that check, 72 are needed"


def test_studies_of_one_patient_do_not_make_seventy_two_patients(card: ModelCard) -> None:
    many = [a_case(1000 + n, 1, 0.9, patient=f"q{n // 2}") for n in range(142)] + separated(1, 99, first=3000)
    (found,) = chosen(card, "sensitivity_lower>=0.5", cases(*separated(100, 100)), cases(*many))
    assert found.entry.threshold is not None  # 71 and the one more
    (found,) = chosen(card, "sensitivity_lower>=0.5", cases(*separated(100, 100)), cases(*many[:142], *many[143:]))
    assert "71 positive patients" in found.refused


def test_a_study_that_was_not_assessed_is_wrong(card: ModelCard) -> None:
    refused = [a_case(1000 + n, 1, None if n < 30 else 0.9) for n in range(200)] + separated(1, 50, first=3000)
    (found,) = chosen(card, "sensitivity_lower>=0.9", cases(*separated(100, 100)), cases(*refused))
    assert "is not certified" in found.refused


def test_bounds_are_of_studies_whose_highest_image_counts(card: ModelCard) -> None:
    two = [a_case(1000 + n, 1, 0.9 if n % 2 else 0.1, study=f"t{n // 2}", patient=f"q{n // 2}") for n in range(160)]
    (found,) = chosen(
        card, "sensitivity_lower>=0.95", cases(*separated(100, 99)), cases(*two, *separated(1, 50, first=3000))
    )
    checked = found.entry.provenance.checked_on
    assert found.entry.threshold == 0.5 and checked is not None and checked.figures["sensitivity"].n == 81


def test_the_confidence_is_corrected_for_the_strata_that_have_enough_cases(card: ModelCard) -> None:
    def with_views(first: int, *counts: int) -> Cases:
        views = zip(("PA", "AP", "FRONTAL"), counts, strict=True)
        return cases(*[c for n, (v, k) in enumerate(views) for c in separated(k, 200, first=first + 2000 * n, view=v)])

    choosing, checking = with_views(0, 300, 300, 30), with_views(10_000, 300, 300, 30)
    by_view = [ALL, *(PointStratum(view=view) for view in ("AP", "FRONTAL", "PA"))]
    found = chosen(card, "sensitivity_lower>=0.9", choosing, checking, *by_view)
    assert [each.stratum.view for each in found if not each.refused] == ["", "AP", "PA"]
    assert "30 positive patients" in found[2].refused
    (entry,) = (each.entry for each in found if each.stratum.view == "AP")
    assert (entry.provenance.strata, entry.provenance.confidence) == (3, pytest.approx(1 - 0.05 / 3))
    assert entry.threshold is not None and entry.provenance.checked_on is not None
    figure = entry.provenance.checked_on.figures["sensitivity"]
    hits = round(figure.value * figure.n)
    assert (figure.low, figure.high) == pytest.approx(exact_interval(hits, 300, 1 - 0.05 / 3))
    file = merged(PointsFile(), [each.entry for each in found])
    assert [point.name for point in file.points.points] == [
        "abnormal 2026-11-29", "abnormal AP 2026-11-29", "abnormal PA 2026-11-29",
    ]  # fmt: skip


def test_a_station_s_point_has_its_reason_and_ninety_days(card: ModelCard) -> None:
    room = PointStratum(station="XR 1")
    sets = [cases(*separated(100, 100, first, station="xr 1")) for first in (0, 1000)]
    (found,) = chosen(card, "sensitivity_lower>=0.9", *sets, room, reason="an old detector")
    assert (found.entry.reason, found.entry.expires) == ("an old detector", AT + timedelta(days=90))
    assert found.entry.name == "abnormal XR 1 2026-11-29"


def test_stations_of_other_letters_have_points_of_different_names(card: ModelCard) -> None:
    sets = [cases(*separated(100, 100, first)) for first in (0, 1000)]
    rooms = [
        PointStratum(station=name) for name in ("RÖNTGEN 1", "RÄNTGEN 1", "a name of more than sixteen characters")
    ]
    names = {chosen(card, "sensitivity_lower>=0.9", *sets, room)[0].entry.name for room in rooms}
    assert len(names) == len(rooms)


@pytest.mark.parametrize("rule", ["sensitivity_lower>=0.9", "specificity_lower>=0.9"])
def test_scores_of_zero_and_one_are_no_operating_points(card: ModelCard, rule: str) -> None:
    sets = [cases(*(a_case(first + n, n % 2, float(n % 2)) for n in range(400))) for first in (0, 1000)]
    (found,) = chosen(card, rule, *sets)
    assert found.entry.threshold is None and "no threshold reaches" in found.refused


def test_no_patient_is_among_those_that_choose_and_those_that_check() -> None:
    several = [a_case(n, int(n % 3 == 0), 0.5, patient=f"p{n // 2}") for n in range(300)]
    first, rest = divided(cases(*several))
    assert {each.image.patient for each in first.cases}.isdisjoint(each.image.patient for each in rest.cases)
    assert len(first.cases) + len(rest.cases) == 300
    for label in (0, 1):
        share = len(first.patients(label)) / (len(first.patients(label)) + len(rest.patients(label)))
        assert share == pytest.approx(1 / 3, abs=0.02)
    again, _ = divided(cases(*reversed(several)))
    assert {each.member.name for each in again.cases} == {each.member.name for each in first.cases}
    ours, other = (
        ValidationCohort(Path("x.csv"), "a" * 64, "", tuple(each.member for each in part), 0)
        for part in (several[:10], several[8:])
    )
    with pytest.raises(ChoiceError, match="1 patients and 2 image files in common"):
        check_apart(ours, other)


@pytest.mark.parametrize("rule", ["", "sensitivity>=0.9", "auc_lower>=0.9", "sensitivity_lower<=0.9", "ppv_lower>=1"])
def test_a_rule_that_cannot_be_held_is_refused(rule: str) -> None:
    with pytest.raises(ChoiceError, match="write NAME_lower>=VALUE"):
        parse_rule(rule)


def test_strata_divide_those_before_them(card: ModelCard) -> None:
    images = [
        a_case(n, 0, 0.1, view=v, station=s).prediction
        for n, (v, s) in enumerate((("PA", "A"), ("AP", "a"), ("LL", "B")))
    ]
    words = [each.words for each in strata_of(("age=18,65", "view"), card, images)]
    assert words == [
        "all images", "view AP", "view PA", "view AP, ages 18 to below 65", "view AP, ages 65 and over",
        "view PA, ages 18 to below 65", "view PA, ages 65 and over",
    ]  # fmt: skip
    assert [each.station for each in strata_of(("station",), card, images)] == ["", "B", "a"]
    for wrong in ("sex", "age", "view=PA", "age=65,18", "age=x"):
        with pytest.raises(ChoiceError, match="--by"):
            strata_of((wrong,), card, images)
    with pytest.raises(ChoiceError, match="given once"):
        strata_of(("age=18", "age=65"), card, images)


def write_site(folder: Path, name: str, first: int, positives: int, negatives: int) -> Path:
    """Pictures whose mean says the label, each of a patient of its own."""
    rng = np.random.default_rng(first)
    rows = []
    for number in range(first, first + positives + negatives):
        label = int(number < first + positives)
        picture = (rng.random((40, 40)) ** (0.5 if label else 2.0) * 255).astype(np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)
        rows.append(Row(folder / f"{number}.png", label, f"p{number}", view="PA" if number % 2 else "AP", age=50.0))
    write_manifest(folder / name, rows)
    return folder / name


def test_the_command_writes_a_certified_point_as_an_audited_act_and_marks_the_cases_that_chose_it(
    tmp_path: Path,
) -> None:
    card = write_model(tmp_path, "tiny-adult")
    manifest, other = write_site(tmp_path, "ours.csv", 0, 110, 20), write_site(tmp_path, "more.csv", 500, 75, 5)
    points, trail = tmp_path / "points.json", tmp_path / "audit" / "audit.xml"

    def validate(out: str, *options: str, **environment: str) -> tuple[int, str]:
        fixed = ("--model", str(tmp_path / "tiny-adult"), "--cohort", str(manifest), "--out", str(tmp_path / out))
        env = {"WORKER_DECODE_PROCESSES": "1", "WORKER_THREADS": "1", "AUDIT_ALWAYS": "true", **environment}
        env["AUDIT_PATH"] = str(trail)
        done = CliRunner().invoke(
            triage,
            ["validate", *fixed, "--rounds", "20", "--no-images", *options],
            env={f"TRIAGE_{name}": value for name, value in env.items()},
            catch_exceptions=False,
        )
        return done.exit_code, " ".join(done.output.split())

    for wrong, message in (
        (("--choose", "sensitivity_lower>=0.8", "--finding", "fracture"), "has abnormal"),
        (("--choose", "sensitivity_lower>=0.8", "--by", "station"), "needs --reason"),
        (("--choose", "sensitivity_lower>=0.8", "--any-age"), "do not go with it"),
        (("--choose", "sensitivity_lower>=0.8", "--check-cohort", str(manifest)), "130 patients and 130 image files"),
        (("--reason", "x"), "--reason goes with --choose"),
    ):
        status, told = validate("out", *wrong)
        assert (status, message in told) == (78, True), told
    status, told = validate("out", "--choose", "sensitivity_lower>=0.98", "--points", str(points))
    assert status == 1 and "no point is certified" in told and not points.exists() and not trail.exists()

    status, told = validate("out", "--choose", "sensitivity_lower>=0.8", "--by", "view", "--points", str(points))
    assert status == 0, told
    whole, *views = read_points(points).entries
    assert whole.threshold is not None and whole.stratum == ALL and whole.model_sha256 == card.model_sha256
    assert [each.threshold for each in views] == [None, None] and "positive patients" in views[0].inherits
    lines = trail.read_text().splitlines()
    assert len(lines) == 2 and all("models.operating_points" in line for line in lines)
    acts = [b64decode(value).decode() for line in lines for value in re.findall(r'value="([^"]+)"', line)]
    assert "about to be written to" in acts[0] and "written to" in acts[1] and "SHA-256" in acts[1]

    rule = ("--choose", "specificity_lower>=0.3", "--check-cohort", str(other), "--points", str(tmp_path / "more.json"))
    status, told = validate("again", *rule, MODELS_OPERATING_POINTS=str(points))
    assert status == 0, told
    metrics = json.loads((tmp_path / "again" / "metrics.json").read_text())
    (point,) = metrics["site_points"]
    assert point["images_that_chose"] == 37 + 7 and metrics["image"]["points"][0]["threshold"] == whole.threshold
    assert any("44 of these images chose the operating point" in each for each in metrics["warnings"])
    assert "44 images chose it" in (tmp_path / "again" / "report.html").read_text()
    (second,) = read_points(tmp_path / "more.json").entries
    checked = second.provenance.checked_on
    assert checked is not None and (checked.manifest, checked.patients) == ("more.csv", 80)
