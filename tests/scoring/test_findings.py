"""Several findings of one model, and several models for one patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import an_assessment
from tests.support.model_folders import write_model
from tests.support.radiographs import a_dataset, as_file
from triage.decision.decide import decide
from triage.decision.findings import FindingState
from triage.decision.operating_points import ImageFacts, SitePoint, SitePoints, Stratum
from triage.decision.reasons import Reason
from triage.decision.types import ModelResult, Priority, PriorityPolicy, Tag
from triage.decision.urgency import Urgency, UrgencyTable
from triage.model.card import ModelCard, ModelRefusedError
from triage.model.registry import RegistryPolicy
from triage.model.session import ModelSession
from triage.model.urgencies import check_urgencies
from triage.radiograph.types import Attributes, Part, View
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare
from triage.scoring.conclude import combine, conclude
from triage.scoring.finding_scores import FindingPolicy, finding_scores
from triage.scoring.inference import BatchInference, ScoredImage

CHEST = PreparedImage(Attributes(), View.PA, Part.CHEST)
ABNORMAL = {"name": "abnormal", "negative_means": "absent"}
OPACITY = {"name": "lung_opacity", "bias": -3.0}


def result(card: ModelCard, *columns: float, policy: AssessmentPolicy | None = None) -> ModelResult:
    return conclude(CHEST, card, columns, 1.0, policy or AssessmentPolicy())


def decided(*results: ModelResult, table: UrgencyTable | None = None, order: str = "") -> Any:
    conclusion = combine(results)
    image = an_assessment(
        tag=conclusion.tag, reasons=conclusion.reasons, probability=0.5, results=results, order_priority=order
    )
    return decide([image], PriorityPolicy(urgencies=table or UrgencyTable()), now=5.0)


def test_every_finding_is_recorded_with_its_score_its_threshold_and_whether_it_counts(tmp_path: Path) -> None:
    card = write_model(tmp_path, "two", findings=[ABNORMAL, {**OPACITY, "counts": False}])
    scores = ModelSession(tmp_path / "two", card, threads=1)
    prepared = prepare(as_file(a_dataset()), {"two": card}, AssessmentPolicy())
    (scored,) = BatchInference({"two": scores}, AssessmentPolicy()).run([prepared])
    assert isinstance(scored, ScoredImage)
    first, second = scored.models[0].result.findings
    assert (first.name, first.threshold, first.counts, first.negative_means_absent) == ("abnormal", 0.5, True, True)
    assert (second.name, second.counts, second.negative_means_absent) == ("lung_opacity", False, False)
    assert second.probability < first.probability == scored.conclusion.probability


@pytest.mark.parametrize(
    ("columns", "counts", "tag", "reasons"),
    [
        ((0.2, 0.2), True, Tag.NORMAL, ()),
        ((0.2, 0.7), True, Tag.ABNORMAL, ()),
        ((0.7, 0.2), True, Tag.ABNORMAL, ()),
        ((0.2, 0.7), False, Tag.NOT_ASSESSED, (Reason.FINDING_CONTRADICTS,)),
        ((0.7, 0.7), False, Tag.ABNORMAL, ()),
        ((0.2, float("nan")), False, Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,)),
        ((0.2,), False, Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,)),
    ],
)
def test_any_finding_that_counts_makes_abnormal_and_no_other_lets_through_a_normal(
    tmp_path: Path, columns: tuple[float, ...], counts: bool, tag: Tag, reasons: tuple[Reason, ...]
) -> None:
    card = write_model(tmp_path, "two", findings=[ABNORMAL, {**OPACITY, "counts": counts}])
    found = result(card, *columns)
    assert (found.tag, found.reasons) == (tag, reasons)


def test_a_rule_over_findings_is_a_finding(tmp_path: Path) -> None:
    any_of = {"kind": "any", "of": ["mass", "effusion"]}
    fitted = {"kind": "logistic", "of": ["mass", "effusion"], "weights": [1.0, 1.0], "intercept": 1.0}
    low = [{"name": "default", "threshold": 0.2, "chosen": "so"}]
    card = write_model(
        tmp_path,
        "rules",
        findings=[
            {"name": "mass", "counts": False, "operating_points": low},
            {"name": "effusion", "counts": False},
            {"name": "abnormal", "rule": any_of},
            {"name": "refitted", "rule": fitted},
        ],
    )
    assert card.leading.name == "abnormal"
    scores = {each.name: each for each in finding_scores(card, (0.2, 0.4), ImageFacts(), FindingPolicy(), 0.0) or ()}
    assert scores["mass"].positive and scores["abnormal"].positive and scores["abnormal"].probability == 0.5
    assert scores["refitted"].probability == pytest.approx(
        1 / (1 + 2.718281828 ** -(1 - 1.386294 - 0.405465)), abs=1e-5
    )


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ([{"name": "a", "rule": {"kind": "any", "of": ["b"]}}, {"name": "b", "rule": {"kind": "any", "of": ["a"]}}],
         "name each other"),
        ([{"name": "a", "rule": {"kind": "any", "of": ["gone"]}}], "gone, which the card does not have"),
        ([{"name": "a"}, {"name": "a"}], "two findings have one name"),
        ([{"name": "a", "counts": False}], "no finding counts"),
        ([{"name": "a", "operating_points": []}], "operating_points"),
    ],
)  # fmt: skip
def test_findings_that_do_not_hold_together_are_refused(
    tmp_path: Path, findings: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(ModelRefusedError, match=said):
        write_model(tmp_path, "odd", findings=findings)


def test_a_model_without_a_distance_never_says_normal(tmp_path: Path) -> None:
    card = write_model(
        tmp_path, "blind", distribution=None, without_distribution="we know what we do", findings=[ABNORMAL]
    )
    assert result(card, 0.2).reasons == (Reason.NO_DISTRIBUTION,)
    assert result(card, 0.7).tag is Tag.ABNORMAL
    with pytest.raises(ModelRefusedError, match="without_distribution"):
        write_model(tmp_path, "mute", distribution=None, findings=[ABNORMAL])


def test_normal_needs_every_model_that_the_patient_requires(tmp_path: Path) -> None:
    chest = write_model(tmp_path, "chest", findings=[ABNORMAL])
    lump = write_model(tmp_path, "lump", findings=[{"name": "mass"}], negative_is_normal=False)
    normal, no_mass, far = (
        result(chest, 0.1),
        result(lump, 0.1),
        conclude(CHEST, lump, (0.1,), 99.0, AssessmentPolicy()),
    )
    assert combine([normal, no_mass]).tag is Tag.NORMAL
    refused = combine([normal, far])
    assert (refused.tag, refused.reasons) == (Tag.NOT_ASSESSED, (Reason.OUT_OF_DISTRIBUTION,))
    assert refused.detail == "lump 1: out_of_distribution"
    assert combine([normal, result(lump, 0.9)]).tag is Tag.ABNORMAL
    assert combine([far, result(chest, 0.9)]).tag is Tag.ABNORMAL
    assert combine([no_mass]).reasons == (Reason.FINDING_NOT_COVERED,)


def test_one_of_two_models_that_is_switched_off_leaves_no_normal(tmp_path: Path) -> None:
    cards = {
        "chest": write_model(tmp_path, "chest", bias=-9, findings=[ABNORMAL]),
        "lump": write_model(tmp_path, "lump", bias=-9, findings=[{"name": "mass"}], negative_is_normal=False),
    }
    sessions = {name: ModelSession(tmp_path / name, card, threads=1) for name, card in cards.items()}
    for disabled, tag in ((frozenset(), Tag.NORMAL), (frozenset({"lump"}), Tag.NOT_ASSESSED)):
        policy = AssessmentPolicy(registry=RegistryPolicy(disabled=disabled))
        inference = BatchInference(sessions, policy)
        for prepared_with, run_with in ((policy, frozenset()), (AssessmentPolicy(), disabled)):
            prepared = prepare(as_file(a_dataset()), cards, prepared_with)
            (found,) = inference.run([prepared], run_with)
            assert isinstance(found, ScoredImage)
            assert (found.conclusion.tag, len(found.models)) == (tag, 2)
            if disabled:
                assert found.conclusion.reasons == (Reason.MODEL_DISABLED,)
                assert "lump is switched off" in found.conclusion.detail


def test_urgency_comes_from_the_table_and_never_from_the_score(tmp_path: Path) -> None:
    card = write_model(tmp_path, "two", findings=[ABNORMAL, OPACITY])
    table = UrgencyTable({"abnormal": Urgency.NONURGENT, "lung_opacity": Urgency.URGENT})
    sure = decided(result(card, 0.999, 0.1), table=table)
    assert (sure.tag, sure.urgency, sure.priority, sure.raised) == (Tag.ABNORMAL, "nonurgent", Priority.MEDIUM, False)
    faint = decided(result(card, 0.1, 0.51), table=table)
    assert (faint.tag, faint.urgency, faint.priority, faint.raised) == (Tag.ABNORMAL, "urgent", Priority.HIGH, True)
    assert decided(result(card, 0.999, 0.1), table=table, order="STAT").priority is Priority.HIGH
    assert [(each.name, each.state) for each in faint.findings] == [
        ("abnormal", FindingState.ABSENT), ("lung_opacity", FindingState.PRESENT),
    ]  # fmt: skip
    assert decided(result(card, 0.1, 0.1), table=table).urgency is Urgency.NORMAL


def test_an_image_that_was_not_assessed_leaves_no_finding_absent(tmp_path: Path) -> None:
    card = write_model(tmp_path, "one", findings=[ABNORMAL])
    clean, far = result(card, 0.1), conclude(CHEST, card, (0.1,), 99.0, AssessmentPolicy())
    images = [
        an_assessment(sop_instance_uid="1.2.1", tag=Tag.NORMAL, results=(clean,)),
        an_assessment(sop_instance_uid="1.2.2", tag=Tag.NOT_ASSESSED, reasons=far.reasons, results=(far,)),
    ]
    (finding,) = decide(images, PriorityPolicy(), now=5.0).findings
    assert (finding.state, finding.urgency) == (FindingState.NOT_ASSESSED, Urgency.NOT_ASSESSED)
    (finding,) = decide(images[:1], PriorityPolicy(), now=5.0).findings
    assert finding.state is FindingState.ABSENT


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"abnormal": Urgency.URGENT}, "says nothing of lung_opacity"),
        ({"*": Urgency.URGENT, "mass": Urgency.URGENT}, "has mass, and no model in service"),
        ({"*": Urgency.URGENT, "abnormal": Urgency.CRITICAL}, "does not state sensitivity and ppv"),
    ],
)
def test_a_table_that_does_not_fit_the_models_is_refused(tmp_path: Path, table: dict[str, Urgency], said: str) -> None:
    card = write_model(tmp_path, "two", findings=[ABNORMAL, OPACITY])
    with pytest.raises(ModelRefusedError, match=said):
        check_urgencies([card], UrgencyTable(table))


def test_the_most_specific_point_that_has_not_expired_is_in_force(tmp_path: Path) -> None:
    card = write_model(tmp_path, "two", findings=[ABNORMAL, OPACITY])
    digest = card.model_sha256
    points = SitePoints(
        (
            SitePoint("all", digest, "abnormal", 0.6),
            SitePoint("ap", digest, "abnormal", 0.7, Stratum(view="AP")),
            SitePoint("room", digest, "abnormal", 0.8, Stratum(station="ROOM 1"), expires_at=100.0),
            SitePoint("other", "0" * 64, "abnormal", 0.1),
        )
    )

    def threshold(view: str, station: str = "", now: float = 0.0) -> tuple[float, str]:
        scores = finding_scores(card, (0.5, 0.5), ImageFacts(view, 50.0, station), FindingPolicy(points=points), now)
        assert scores is not None and scores[1].threshold == 0.5
        return scores[0].threshold, scores[0].point

    assert threshold("PA") == (0.6, "all")
    assert threshold("AP") == (0.7, "ap")
    assert threshold("AP", " room 1") == (0.8, "room")
    assert threshold("AP", "ROOM 1", now=100.0) == (0.7, "ap")
