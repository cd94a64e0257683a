"""One object from bytes to a tag, through tiny models that really run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.builders import an_assessment
from tests.support.model_folders import FARTHEST, write_model
from tests.support.radiographs import a_dataset, a_picture, as_file
from triage.decision.decide import decide
from triage.decision.reasons import Reason
from triage.decision.types import ModelResult, PriorityPolicy, Tag
from triage.model.card import ModelCard
from triage.model.registry import ChosenModels, RegistryPolicy, choose, usable
from triage.model.session import ModelSession
from triage.phantom.chest import draw
from triage.radiograph.orientation import Orientation
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.preprocess import preprocess
from triage.radiograph.types import Attributes, Part, Rejected, View
from triage.radiograph.vocabulary import SiteWords
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare, projection_seen, view_contradicted
from triage.scoring.conclude import Conclusion, combine, conclude
from triage.scoring.finding_scores import FindingPolicy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def cards(folder: Path) -> dict[str, ModelCard]:
    """Everything is normal to the adult model, and nothing to the newborn's; the child's knows one finding only."""
    return {
        "adult": write_model(folder, "adult", bias=-10),
        "child": write_model(folder, "child", age_from=1, age_below=6, bias=-10, negative_is_normal=False),
        "newborn": write_model(folder, "newborn", age_from=0, age_below=1, bias=10),
    }


def assessed(
    folder: Path,
    cards: Mapping[str, ModelCard],
    policy: AssessmentPolicy | None = None,
    *,
    sender: str = "",
    **changes: Any,
) -> ModelResult | Rejected:
    """Return the conclusion of a chest with changed attributes: prepared, scored by its model, concluded."""
    policy = policy or AssessmentPolicy()
    prepared = prepare(as_file(a_dataset(**changes)), cards, policy, calling_ae_title=sender)
    if prepared.rejected is not None:
        assert prepared.model_input is None and prepared.model_name == ""
        return prepared.rejected
    assert prepared.model_input is not None
    card = cards[prepared.model_name]
    scores = ModelSession(folder / card.name, card, threads=1).score(prepared.model_input[np.newaxis])
    return conclude(prepared, card, scores.probability[0], float(scores.distance[0]), policy)


# The whole way.


def test_an_adult_s_frontal_is_scored(folder: Path, cards: dict[str, ModelCard]) -> None:
    found = assessed(folder, cards)
    assert isinstance(found, ModelResult)
    assert (found.tag, found.reasons, found.shadow) == (Tag.NORMAL, (), False)
    assert found.probability is not None and 0 < found.probability < 0.01


@pytest.mark.parametrize(
    ("age", "outcome"),
    [
        ("018Y", (Tag.NORMAL, ())),
        ("017Y", Reason.AGE_NOT_COVERED),
        ("006Y", Reason.AGE_NOT_COVERED),
        ("072M", Reason.AGE_NOT_COVERED),
        ("071M", (Tag.NOT_ASSESSED, (Reason.FINDING_NOT_COVERED,))),
        ("001Y", (Tag.NOT_ASSESSED, (Reason.FINDING_NOT_COVERED,))),
        ("011M", (Tag.ABNORMAL, ())),
        ("003D", (Tag.ABNORMAL, ())),
        ("000D", (Tag.ABNORMAL, ())),
        ("", Reason.AGE_UNKNOWN),
    ],
)
def test_the_patient_s_age_chooses_the_model(
    folder: Path, cards: dict[str, ModelCard], age: str, outcome: Reason | tuple[Tag, tuple[Reason, ...]]
) -> None:
    found = assessed(folder, cards, PatientAge=age)
    if isinstance(outcome, Reason):
        assert isinstance(found, Rejected) and found.reason is outcome
    else:
        assert isinstance(found, ModelResult) and (found.tag, found.reasons) == outcome


def test_a_negative_of_one_finding_keeps_its_probability(folder: Path, cards: dict[str, ModelCard]) -> None:
    found = assessed(folder, cards, PatientAge="003Y")
    assert isinstance(found, ModelResult) and found.probability is not None


def test_a_setting_lets_the_adult_model_take_unknown_ages(folder: Path, cards: dict[str, ModelCard]) -> None:
    policy = AssessmentPolicy(registry=RegistryPolicy(adult_when_age_unknown=True))
    found = assessed(folder, cards, policy, PatientAge="")
    assert isinstance(found, ModelResult) and found.tag is Tag.NORMAL
    children = {name: card for name, card in cards.items() if name != "adult"}
    refused = assessed(folder, children, policy, PatientAge="")
    assert isinstance(refused, Rejected) and refused.reason is Reason.AGE_NOT_COVERED


@pytest.mark.parametrize("changes", [{"ViewPosition": None}, {"PatientOrientation": ["A", "F"]}])
def test_an_unknown_view_is_scored_and_not_assessed(
    folder: Path, cards: dict[str, ModelCard], changes: dict[str, Any]
) -> None:
    for age in ("050Y", "003D"):  # whatever the score is
        found = assessed(folder, cards, PatientAge=age, **changes)
        assert isinstance(found, ModelResult)
        assert (found.tag, found.reasons) == (Tag.NOT_ASSESSED, (Reason.VIEW_UNVERIFIED,))
        assert found.probability is not None


UNKNOWN_PARTS: list[dict[str, Any]] = [
    {"BodyPartExamined": ""},
    {"BodyPartExamined": None},
    {"BodyPartExamined": "NA"},
    {"BodyPartExamined": "GENERAL"},
    {"BodyPartExamined": "DR"},
    {"BodyPartExamined": "RIB"},
    {"BodyPartExamined": "CHESTABDOMEN"},
    {"BodyPartExamined": "HIP", "ProtocolName": "Chest PA"},
    {"ProtocolName": "Knee AP"},
]


@pytest.mark.parametrize("changes", UNKNOWN_PARTS)
def test_an_unknown_part_may_be_abnormal_and_is_never_normal(
    folder: Path, cards: dict[str, ModelCard], changes: dict[str, Any]
) -> None:
    negative = assessed(folder, cards, **changes)
    positive = assessed(folder, cards, PatientAge="003D", **changes)
    assert isinstance(negative, ModelResult) and isinstance(positive, ModelResult)
    assert (negative.tag, negative.reasons) == (Tag.NOT_ASSESSED, (Reason.BODY_PART_UNVERIFIED,))
    assert negative.probability is not None and negative.probability < 0.01
    assert (positive.tag, positive.reasons) == (Tag.ABNORMAL, ())


@pytest.mark.parametrize(
    "part", ["CXR", "THX", "BRUST", "BORST", "TORAX", "NA", "GENERAL", "ROUTINE", "DR", "RG", "XRAY"]
)
@pytest.mark.parametrize(("age", "tag"), [("003D", Tag.ABNORMAL), ("050Y", Tag.NOT_ASSESSED)])
def test_a_second_chest_is_not_left_out_in_silence(
    folder: Path, cards: dict[str, ModelCard], part: str, age: str, tag: Tag
) -> None:
    """Next to a normal frontal an abnormal one raises the study, and an unknown part keeps it from being NORMAL."""
    second = assessed(folder, cards, BodyPartExamined=part, PatientAge=age)
    assert isinstance(second, ModelResult)
    first = an_assessment(sop_instance_uid="1.2.3.4.1")
    both = [first, an_assessment(sop_instance_uid="1.2.3.4.2", tag=second.tag, reasons=second.reasons)]
    chest = part in ("CXR", "THX", "BRUST", "BORST", "TORAX")
    assert decide(both, PriorityPolicy(), 5.0).tag is (Tag.NORMAL if chest and tag is Tag.NOT_ASSESSED else tag)


@pytest.mark.parametrize(
    ("site", "changes"),
    [
        (EligibilityPolicy(chest_ae_titles=frozenset({"CHESTROOM"})), {"BodyPartExamined": None}),
        (EligibilityPolicy(words=SiteWords(chest=("general",))), {"BodyPartExamined": "GENERAL"}),
        (EligibilityPolicy(), {"BodyPartExamined": "GENERAL", "ProtocolName": "W034 Thorax"}),
        (EligibilityPolicy(), {"BodyPartExamined": None, "StudyDescription": "XR CHEST"}),
    ],
)
def test_what_says_chest_makes_it_one(
    folder: Path, cards: dict[str, ModelCard], site: EligibilityPolicy, changes: dict[str, Any]
) -> None:
    found = assessed(folder, cards, AssessmentPolicy(site), sender="CHESTROOM", **changes)
    assert isinstance(found, ModelResult) and found.tag is Tag.NORMAL


@pytest.mark.parametrize("adult_when_age_unknown", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"PatientAge": "004Y", "PatientBirthDate": "19700101"},
        {"PatientAge": "054Y", "PatientBirthDate": "20300101"},
        {"PatientAge": "", "PatientBirthDate": "19000101"},
        {"PatientAge": "000Y"},
        {"PatientSpeciesDescription": "Canis familiaris"},
    ],
)
def test_what_is_stated_and_is_no_age_is_scored_by_no_setting(
    folder: Path, cards: dict[str, ModelCard], changes: dict[str, Any], adult_when_age_unknown: bool
) -> None:
    policy = AssessmentPolicy(registry=RegistryPolicy(adult_when_age_unknown=adult_when_age_unknown))
    found = assessed(folder, cards, policy, **changes)
    assert isinstance(found, Rejected) and found.reason is Reason.AGE_UNKNOWN
    assert found.detail and not any(letter in found.detail for letter in "123456789")


def test_a_rule_of_the_site_makes_it_a_frontal(folder: Path, cards: dict[str, ModelCard]) -> None:
    policy = AssessmentPolicy(EligibilityPolicy(frozenset({"CHESTROOM"})))
    found = assessed(folder, cards, policy, sender="CHESTROOM", ViewPosition=None)
    assert isinstance(found, ModelResult) and found.tag is Tag.NORMAL


@pytest.mark.parametrize("blank", [0, 1000, 4095])
def test_a_blank_image_is_out_of_distribution(folder: Path, cards: dict[str, ModelCard], blank: int) -> None:
    pixels = np.full((96, 80), blank, dtype=np.uint16)
    for changes in ({}, {"WindowCenter": 2048, "WindowWidth": 4096}):
        found = assessed(folder, cards, pixels=pixels, **changes)
        assert isinstance(found, ModelResult)
        assert (found.tag, found.reasons) == (Tag.NOT_ASSESSED, (Reason.OUT_OF_DISTRIBUTION,))
        assert found.probability is not None


def test_a_shadow_model_scores_and_says_that_it_is_one(folder: Path, cards: dict[str, ModelCard]) -> None:
    found = assessed(folder, cards, AssessmentPolicy(registry=RegistryPolicy(shadow=frozenset({"adult"}))))
    assert isinstance(found, ModelResult) and found.shadow and found.tag is Tag.NORMAL


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"BodyPartExamined": "HIP"}, Reason.NOT_CHEST),
        ({"BodyPartExamined": "Brustwirbelsäule", "SpecificCharacterSet": "ISO_IR 100"}, Reason.NOT_CHEST),
        ({"ViewPosition": "LL"}, Reason.NOT_FRONTAL),
        ({"NumberOfFrames": 3}, Reason.MULTI_FRAME),
        ({"PixelData": b"\0\0"}, Reason.UNDECODABLE),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Reason.UNDECODABLE),
    ],
)
def test_what_is_rejected_is_never_scored(
    folder: Path, cards: dict[str, ModelCard], changes: dict[str, Any], reason: Reason
) -> None:
    found = assessed(folder, cards, **changes)
    assert isinstance(found, Rejected) and found.reason is reason


def test_the_model_input_is_that_of_the_card_s_preprocessing(cards: dict[str, ModelCard]) -> None:
    picture = a_picture()
    prepared = prepare(as_file(a_dataset(picture)), cards, AssessmentPolicy())
    pixels, valid = picture.astype(np.float32) / np.float32(4095), np.ones(picture.shape, dtype=bool)
    expected = preprocess(pixels, valid, cards["adult"].preprocessing.spec())
    assert prepared.model_input is not None and np.allclose(prepared.model_input, expected, atol=1e-5)
    assert set(prepared.stages) == {"read", "decode", "preprocess"}


def test_a_named_model_overrides_age_and_nothing_else(cards: dict[str, ModelCard]) -> None:
    prepared = prepare(as_file(a_dataset(PatientAge="")), cards, AssessmentPolicy(), model_name="child")
    assert (prepared.model_name, prepared.rejected) == ("child", None)
    lateral = prepare(as_file(a_dataset(ViewPosition="LL")), cards, AssessmentPolicy(), model_name="child")
    assert lateral.rejected is not None and lateral.rejected.reason is Reason.NOT_FRONTAL


def test_bare_pictures_are_frontals_where_they_are_let_in(cards: dict[str, ModelCard]) -> None:
    data = cv2.imencode(".png", a_picture(16))[1].tobytes()
    prepared = prepare(data, cards, AssessmentPolicy(), model_name="adult", pictures=True)
    assert (prepared.view, prepared.rejected, prepared.model_name) == (View.FRONTAL, None, "adult")
    received = prepare(data, cards, AssessmentPolicy())
    assert received.rejected is not None and received.rejected.reason is Reason.UNDECODABLE


# Conclusions.

FRONTAL = PreparedImage(Attributes(), View.PA, Part.CHEST)


@pytest.mark.parametrize("distance", [math.nan, math.inf, -math.inf, FARTHEST + 1e-6])
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_what_is_far_is_refused_whatever_it_scored(
    cards: dict[str, ModelCard], distance: float, probability: float
) -> None:
    found = conclude(FRONTAL, cards["adult"], (probability,), distance, AssessmentPolicy())
    assert combine([found]) == Conclusion(Tag.NOT_ASSESSED, probability, (Reason.OUT_OF_DISTRIBUTION,))


def test_the_limit_itself_is_near(cards: dict[str, ModelCard]) -> None:
    assert conclude(FRONTAL, cards["adult"], (0.1,), FARTHEST, AssessmentPolicy()).tag is Tag.NORMAL


@pytest.mark.parametrize("probability", [math.nan, math.inf, -0.1, 1.1])
def test_a_probability_that_is_none_is_a_failure(cards: dict[str, ModelCard], probability: float) -> None:
    found = conclude(FRONTAL, cards["adult"], (probability,), 1.0, AssessmentPolicy())
    said = "a score is no number from 0 to 1"
    assert combine([found]) == Conclusion(Tag.NOT_ASSESSED, None, (Reason.WORKER_FAILURE,), detail=said)


@pytest.mark.parametrize(
    ("probability", "tag"),
    [
        (0.3, Tag.ABNORMAL),
        (math.nextafter(0.3, 0), Tag.NORMAL),
        (math.nextafter(0.3, 1), Tag.ABNORMAL),
        (0.0, Tag.NORMAL),
    ],
)
def test_the_operating_point_itself_is_abnormal(cards: dict[str, ModelCard], probability: float, tag: Tag) -> None:
    found = conclude(FRONTAL, cards["adult"], (probability,), 1.0, AssessmentPolicy(findings=FindingPolicy(0.3)))
    assert (found.tag, found.probability) == (tag, probability)


@pytest.mark.parametrize("view", list(View))
def test_only_a_view_that_the_model_is_for_is_called_anything(
    tmp_path: Path, cards: dict[str, ModelCard], view: View
) -> None:
    use = {"modalities": ["CR"], "views": ["PA"], "age_from": 18, "age_below": None}
    pa_only = write_model(tmp_path, "pa-only", intended_use=use)
    for card, views in ((cards["adult"], {View.PA, View.AP, View.FRONTAL}), (pa_only, {View.PA})):
        for probability in (0.0, 1.0):
            found = conclude(
                PreparedImage(Attributes(), view, Part.CHEST), card, (probability,), 1.0, AssessmentPolicy()
            )
            assert (found.tag is not Tag.NOT_ASSESSED) == (view in views)
            assert found.probability == probability


def test_what_has_a_wide_border_is_scored_and_not_assessed_unless_the_card_crops(
    folder: Path, cards: dict[str, ModelCard]
) -> None:
    pixels = np.pad(a_picture(), 12)
    found = assessed(folder, cards, pixels=pixels)
    assert isinstance(found, ModelResult)
    assert (found.tag, found.reasons) == (Tag.NOT_ASSESSED, (Reason.WIDE_BORDER,))
    assert found.probability is not None
    assert found.detail == "only 80 % of the rows and 77 % of the columns are inside shutter and border"
    cropping = with_crop(cards["adult"])
    prepared = prepare(as_file(a_dataset(pixels)), {"adult": cropping}, AssessmentPolicy())
    found = conclude(prepared, cropping, (0.1,), 1.0, AssessmentPolicy())
    assert combine([found]) == Conclusion(Tag.NORMAL, 0.1, ())


def test_a_shutter_is_a_border_and_a_card_that_crops_sees_the_same_image_with_it(cards: dict[str, ModelCard]) -> None:
    cropping = {"adult": with_crop(cards["adult"])}
    noise = np.random.default_rng(0).integers(0, 4096, (130, 120)).astype(np.uint16)
    noise[20:116, 30:110] = a_picture()
    edges = {"UpperHorizontal": 21, "LowerHorizontal": 116, "LeftVertical": 31, "RightVertical": 110}
    shutter = {"ShutterShape": "RECTANGULAR", **{f"Shutter{side}Edge": value for side, value in edges.items()}}
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    inside, alone = (
        prepare(as_file(a_dataset(pixels, **window, **more)), cropping, AssessmentPolicy())
        for pixels, more in ((noise, shutter), (a_picture(), {}))
    )
    assert inside.model_input is not None and alone.model_input is not None
    assert np.array_equal(inside.model_input, alone.model_input)
    assert inside.content == (20 / 130, 30 / 120, 116 / 130, 110 / 120) and alone.content == (0, 0, 1, 1)
    assert conclude(inside, cards["adult"], (0.1,), 1.0, AssessmentPolicy()).reasons == (Reason.WIDE_BORDER,)


def test_a_marker_on_black_is_no_radiograph_even_for_a_card_that_crops(cards: dict[str, ModelCard]) -> None:
    cropping = {"adult": with_crop(cards["adult"])}
    pixels = np.zeros((300, 300), dtype=np.uint16)
    pixels[100:196, 20:100] = a_picture()
    prepared = prepare(as_file(a_dataset(pixels)), cropping, AssessmentPolicy())
    assert conclude(prepared, cropping["adult"], (0.1,), 1.0, AssessmentPolicy()).reasons == (Reason.WIDE_BORDER,)


def test_only_a_model_that_does_not_mind_takes_what_is_turned(cards: dict[str, ModelCard]) -> None:
    turned = PreparedImage(Attributes(), View.PA, Part.CHEST, orientation=Orientation((0.05, 0.9, 0.03, 0.02)))
    any_way = cards["adult"]
    upright = any_way.model_copy(
        update={"intended_use": any_way.intended_use.model_copy(update={"orientation": "upright"})}
    )
    assert conclude(turned, any_way, (0.1,), 1.0, AssessmentPolicy()).tag is Tag.NORMAL
    for probability in (0.0, 1.0):
        found = conclude(turned, upright, (probability,), 1.0, AssessmentPolicy())
        assert (found.tag, found.reasons) == (Tag.NOT_ASSESSED, (Reason.ORIENTATION_UNVERIFIED,))
        assert found.detail == "it looks as if turned by 90 degrees to the right (0.90 of 1)"
    assert conclude(FRONTAL, upright, (0.1,), 1.0, AssessmentPolicy()).tag is Tag.NORMAL


def a_standing_chest(**changes: Any) -> bytes:
    return as_file(a_dataset(draw(2, rows=320, columns=280).astype(np.uint16), **changes))


def test_an_adult_s_upright_chest_is_asked_for_its_projection_whatever_view_is_stated(
    cards: dict[str, ModelCard],
) -> None:
    for view in ("PA", "AP", None):
        share = prepare(a_standing_chest(ViewPosition=view, PatientAge="018Y"), cards, AssessmentPolicy()).ap_share
        assert share is not None and 0 < share < 1
    unknown_age = AssessmentPolicy(registry=RegistryPolicy(adult_when_age_unknown=True))
    assert prepare(a_standing_chest(PatientAge=""), cards, unknown_age).ap_share == share


def test_of_a_child_and_of_what_is_no_upright_chest_no_projection_is_said(cards: dict[str, ModelCard]) -> None:
    assert prepare(a_standing_chest(PatientAge="003Y"), cards, AssessmentPolicy()).ap_share is None
    turned = np.ascontiguousarray(np.rot90(draw(2, rows=320, columns=280).astype(np.uint16)))
    assert prepare(as_file(a_dataset(turned)), cards, AssessmentPolicy()).ap_share is None
    assert prepare(a_standing_chest(ViewPosition="LL"), cards, AssessmentPolicy()).ap_share is None


@pytest.mark.parametrize("share", [0.0, 1.0, None])
def test_no_tag_is_made_of_what_the_pixels_say_of_the_projection(cards: dict[str, ModelCard], share: float) -> None:
    for view in View:
        for probability in (0.0, 1.0):
            plain = PreparedImage(Attributes(), view, Part.CHEST)
            asked = replace(plain, ap_share=share)
            assert conclude(asked, cards["adult"], (probability,), 1.0, AssessmentPolicy()) == conclude(
                plain, cards["adult"], (probability,), 1.0, AssessmentPolicy()
            )


def test_a_view_is_contradicted_only_of_what_is_known_to_be_a_chest() -> None:
    stated = PreparedImage(Attributes(), View.PA, Part.CHEST, ap_share=1.0)
    assert projection_seen(stated, ()) == 1.0 and view_contradicted(stated, 1.0)
    assert not view_contradicted(replace(stated, view=View.AP), 1.0)
    assert not view_contradicted(replace(stated, view=View.UNKNOWN), 1.0)
    assert not view_contradicted(replace(stated, part=Part.UNKNOWN), 1.0)
    for reason in (Reason.OUT_OF_DISTRIBUTION, Reason.WIDE_BORDER):
        assert projection_seen(stated, (reason,)) is None
    assert projection_seen(stated, (Reason.BODY_PART_UNVERIFIED,)) == 1.0
    assert not view_contradicted(stated, None)


def with_crop(card: ModelCard) -> ModelCard:
    return card.model_copy(update={"preprocessing": card.preprocessing.model_copy(update={"crop": "border"})})


# The choice of a model.


def test_a_model_in_service_goes_before_one_in_shadow(tmp_path: Path) -> None:
    cards = {name: write_model(tmp_path, name) for name in ("a", "b", "c")}
    chosen = choose(cards, 50.0, RegistryPolicy(shadow=frozenset({"a"})))
    assert isinstance(chosen, ChosenModels) and [card.name for card in chosen.cards] == ["b"]
    chosen = choose(cards, 50.0, RegistryPolicy(disabled=frozenset({"b", "c"}), shadow=frozenset({"a"})))
    assert isinstance(chosen, ChosenModels) and [card.name for card in chosen.cards] == ["a"]


@pytest.mark.parametrize(
    ("age", "policy", "reason"),
    [
        (50.0, RegistryPolicy(disabled=frozenset({"adult"})), Reason.MODEL_DISABLED),
        (17.99, RegistryPolicy(), Reason.AGE_NOT_COVERED),
        (6.0, RegistryPolicy(), Reason.AGE_NOT_COVERED),
        (None, RegistryPolicy(), Reason.AGE_UNKNOWN),
    ],
)
def test_why_there_is_no_model(
    cards: dict[str, ModelCard], age: float | None, policy: RegistryPolicy, reason: Reason
) -> None:
    refused = choose(cards, age, policy)
    assert isinstance(refused, Rejected) and refused.reason is reason


def test_without_any_model_the_reason_says_so() -> None:
    refused = choose({}, 50.0, RegistryPolicy())
    assert isinstance(refused, Rejected) and refused.reason is Reason.NO_MODEL


def test_a_demonstration_scores_only_where_allowed(tmp_path: Path) -> None:
    cards = {"demo": write_model(tmp_path, "demo", demo=True)}
    assert usable(cards, RegistryPolicy()) == {}
    refused = choose(cards, 50.0, RegistryPolicy())
    assert isinstance(refused, Rejected) and refused.reason is Reason.NO_MODEL
    assert choose(cards, 50.0, RegistryPolicy(allow_demo=True)) == ChosenModels((cards["demo"],))
