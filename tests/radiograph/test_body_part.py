"""Part of the body that an image shows: the chest, clearly another, or not known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DigitalXRayImageStorageForPresentation

from tests.support.radiographs import a_dataset, as_file, opened
from triage.decision.reasons import Reason
from triage.radiograph.body_part import names_of_other_parts, part_of
from triage.radiograph.eligibility import ineligible
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.types import Attributes, Part
from triage.radiograph.vocabulary import SiteWords, vocabulary

SITE = EligibilityPolicy()


def codes(*values: str) -> Sequence:
    items = []
    for value in values:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "a region"
        items.append(item)
    return Sequence(items)


def attributes_of(**changes: Any) -> Attributes:
    """Return attributes read from the bytes of a file in which nothing names a part unless ``changes`` do."""
    stated = {"SpecificCharacterSet": "ISO_IR 192", "BodyPartExamined": None, **changes}
    if isinstance(stated["BodyPartExamined"], str):  # pydicom writes a CS as it reads it: as ISO 8859-1
        stated["BodyPartExamined"] = stated["BodyPartExamined"].encode().decode("latin-1")
    return opened(as_file(a_dataset(**stated)))[1]


def part(*, sender: str = "", policy: EligibilityPolicy = SITE, **changes: Any) -> Part:
    return part_of(attributes_of(**changes), policy, sender)


CHESTS = """
CHEST|chest |Chest PA|CHEST_AP2|CHESTPA|ChestLat|CXR|THX|THORAX|Thorax p.a.|ThoraxPA|TORAX|TÓRAX|Tórax|TORACE|TORAKS
BRUST|BRUSTKORB|Lunge|BORST|borstkas|PECHO|PEITO|PETTO|POITRINE|poumons|pulmón|Klatka piersiowa|KLATKI PIERSIOWEJ
płuca|HRUDNIK|HRUDNÍK|hrudník|plíce|hrudní koš|грудная клетка|ОРГАНЫ ГРУДНОЙ КЛЕТКИ|ОГК|лёгкие|ЛЕГКИЕ|GRUDNAYA KLETKA
OGK|грудна клітка|легені|GÖĞÜS|göğüs|AKCIGER|AKCİĞER|BRYST|BRÖST|BROEST|LUNGER|LUNGOR|KEUHKOT|keuhkokuva|RINTAKEHÄ
MELLKAS|mellkasröntgen|tüdő|plămâni|ΘΩΡΑΚΑΣ|θώρακας|πνεύμονες|صدر|الصدر|胸部|胸|胸片|胸正位|肺|双肺|胸部正面|흉부|가슴
ＣＨＥＳＴ|LUNG|LUNGS|HEART|MEDIASTINUM|T-D3000|51185008|816094009|CHEST WALL|ngực|ทรวงอก|krūškurvis|krūtinės ląsta
חזה|DX胸
"""
OTHERS = """
HIP|hips|EXTREMITY|BREAST|TSPINE|T-SPINE|T SPINE|THORACIC SPINE|Thoracic_Spine_AP|ABDOMEN|SKULL|STERNUM|CLAVICLE
SHOULDER|KNEE|Knie|Kniegelenk|HAND|Hände|FINGER|FOOT|Fuß|FUSS|TOE|ANKLE|WRIST|ELBOW|FOREARM|HUMERUS|FEMUR|PELVIS
CSPINE|LSPINE|C-SPINE|JAW|TEETH|NECK|SINUSES|Brustwirbelsäule|BRUSTWIRBELSAEULE|BWS|HWS|LWS|Brustbein|Schädel|SCHAEDEL
Hüfte|HUEFTE|Becken|rachis dorsal|genou|épaule|bassin|crâne|main gauche|pied|cheville|columna dorsal|columna torácica
rodilla|cráneo|hombro|pie|tobillo|coluna torácica|joelho|mão|ombro|bacia|tornozelo|rachide dorsale|ginocchio|mano
spalla|caviglia|borstwervelkolom|knie|schouder|bekken|enkel|kolano|bark|czaszka|kręgosłup piersiowy|ręka|koleno|lebka
hrudní páteř|zápěstí|rameno|коленный сустав|череп|кисть|стопа|грудной отдел позвоночника|таз|плечо|голень|хребет
коліно|diz|el bileği|omuz|kafa|torakal vertebra|kalça|kne|skulder|hånd|ankel|brystbein|knæ|knä|axel|bröstrygg|polvi
olkapää|rintaranka|kallo|γόνατο|ώμος|κρανίο|λεκάνη|térd|váll|koponya|háti gerinc|genunchi|umăr|craniu|ركبة|كتف|جمجمة
膝|膝关节|胸椎|胸骨|肩|手|足部|腰椎|骨盆|头颅|膝関節|頭部|股関節|무릎|흉추|어깨|골반|29836001|T-D2500|PHANTOM|HEAD
FACE|BACK|SKULL AP|RT KNEE 2|DEXTRA KNEE
"""
UNKNOWN = """
|UNKNOWN|OTHER|NA|N/A|GENERAL|ROUTINE|DR|RG|CR|DX|XRAY|X-RAY|WHOLEBODY|WHOLE BODY|BODY|TRUNK|TRONCO|TORSO|PORTABLE
DEFAULT|-|.|?|123|RIBS|RIB|Rippen|costillas|RIBCAGE|rib cage|gril costal|żebra|肋骨|CHESTABDOMEN|CHEST ABDOMEN
Thorax+Abdomen|babygram|NECKCHEST|CHEST/SHOULDER|CHEST AND ABDOMEN|TRACHEA|THORACIC|DORSAL|RIBBON|CHESTER|HANDLE
KNEECHEST|胸膜|MAIN|ZZZ|UPPER|LEFT|Klatka piersiowa i brzuch|thorax, épaule|胸腹部
"""


def listed(text: str) -> list[str]:
    return [word for line in text.strip("\n").splitlines() for word in line.split("|")]


@pytest.mark.parametrize("text", listed(CHESTS))
def test_body_part_examined_says_chest_in_many_languages(text: str) -> None:
    assert part(BodyPartExamined=text) is Part.CHEST


@pytest.mark.parametrize("text", listed(OTHERS))
def test_body_part_examined_clearly_says_another_part(text: str) -> None:
    attributes = attributes_of(BodyPartExamined=text)
    refusal = ineligible(attributes, SITE)
    assert part_of(attributes, SITE) is Part.OTHER
    assert refusal is not None and refusal.reason is Reason.NOT_CHEST


@pytest.mark.parametrize("text", listed(UNKNOWN))
def test_everything_else_is_unknown_and_scored(text: str) -> None:
    attributes = attributes_of(BodyPartExamined=text)
    assert part_of(attributes, SITE) is Part.UNKNOWN
    assert ineligible(attributes, SITE) is None


@given(st.text(alphabet=st.characters(categories=["L"]), min_size=1, max_size=12))
def test_a_word_that_is_in_no_list_leaves_nothing_out(text: str) -> None:
    words, _ = vocabulary(SiteWords()).examined.read(text)
    found = part_of(Attributes(body_part_examined=text), SITE)
    assert found is Part.UNKNOWN or (words and found in {word.part for word in words if word})


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("GB18030", "胸部".encode("gb18030")),
        ("ISO_IR 192", "胸部".encode()),
        ("ISO 2022 IR 87", "胸部".encode("iso2022_jp")),
        (["", "ISO 2022 IR 87"], "胸部".encode("iso2022_jp")),
        ("ISO_IR 192", "Tórax".encode("latin-1")),  # declared wrongly
        ("ISO_IR 144", "ГРУДНАЯ КЛЕТКА".encode("iso8859-5")),
        ("ISO_IR 192", "Tórax".encode()),
        ("ISO_IR 100", "Tórax".encode("latin-1")),
    ],
)
def test_a_code_string_is_read_in_the_declared_characters(declared: str | list[str], written: bytes) -> None:
    data = as_file(a_dataset(SpecificCharacterSet=declared, BodyPartExamined=written.decode("latin-1")))
    assert written in data
    assert part_of(opened(data)[1], SITE) is Part.CHEST


def test_characters_that_are_not_as_declared_are_unknown_and_scored() -> None:
    attributes = Attributes(
        sop_class_uid=DigitalXRayImageStorageForPresentation,
        body_part_examined="胸部".encode("gb18030").decode("latin-1"),
    )
    assert part_of(attributes, SITE) is Part.UNKNOWN
    assert ineligible(attributes, SITE) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Codes, alone and together with Body Part Examined.
        ({"AnatomicRegionSequence": codes("51185008")}, Part.CHEST),
        ({"AnatomicRegionSequence": codes("T-D3000")}, Part.CHEST),
        ({"AnatomicRegionSequence": codes("29836001")}, Part.OTHER),
        ({"AnatomicRegionSequence": codes("113197003")}, Part.UNKNOWN),  # rib
        ({"AnatomicRegionSequence": codes("416550000")}, Part.UNKNOWN),  # chest and abdomen
        ({"AnatomicRegionSequence": codes("PRIVATE1")}, Part.UNKNOWN),
        ({"AnatomicRegionSequence": codes("51185008", "29836001")}, Part.UNKNOWN),
        ({"BodyPartExamined": "CHEST", "AnatomicRegionSequence": codes("PRIVATE1")}, Part.CHEST),
        ({"BodyPartExamined": "CHEST", "AnatomicRegionSequence": codes("29836001")}, Part.UNKNOWN),
        ({"BodyPartExamined": "HIP", "AnatomicRegionSequence": codes("51185008")}, Part.UNKNOWN),
        ({"BodyPartExamined": "GENERAL", "AnatomicRegionSequence": codes("29836001")}, Part.OTHER),
        ({"BodyPartExamined": "GENERAL", "AnatomicRegionSequence": codes("51185008")}, Part.CHEST),
        ({"BodyPartExamined": ["CHEST", "ABDOMEN"]}, Part.UNKNOWN),
        ({"BodyPartExamined": ["CHEST", "THORAX"]}, Part.CHEST),
        ({"BodyPartExamined": ["HAND", "WRIST"]}, Part.OTHER),
        # Descriptions, where Body Part Examined is silent or a word that we do not know.
        ({"ProtocolName": "Chest PA"}, Part.CHEST),
        ({"SeriesDescription": "THORAX ap liegend"}, Part.CHEST),
        ({"AcquisitionDeviceProcessingDescription": "CHEST,GENERAL"}, Part.CHEST),
        ({"StudyDescription": "XR CHEST 2 VIEWS"}, Part.CHEST),
        ({"BodyPartExamined": "GENERAL", "ProtocolName": "RX DE TÓRAX"}, Part.CHEST),
        ({"BodyPartExamined": "DR", "StudyDescription": "RTG klatki piersiowej"}, Part.CHEST),
        ({"ProtocolName": "Knee AP"}, Part.UNKNOWN),  # a description leaves nothing out
        ({"StudyDescription": "ABDOMEN ACUTE SERIES"}, Part.UNKNOWN),
        ({"ProtocolName": "Chest and abdomen"}, Part.UNKNOWN),
        ({"ProtocolName": "Chest PA", "SeriesDescription": "Knee"}, Part.UNKNOWN),
        ({"ProtocolName": "Knee AP", "StudyDescription": "CHEST"}, Part.UNKNOWN),  # that of the image goes first
        ({"ProtocolName": "PORTABLE", "StudyDescription": "CHEST"}, Part.CHEST),
        ({"StudyDescription": "TRAUMA: CHEST, PELVIS, C-SPINE"}, Part.UNKNOWN),
        ({"SeriesDescription": "THORAX FACE"}, Part.CHEST),  # French for a frontal
        ({"SeriesDescription": "CHEST HEAD END UP 30"}, Part.CHEST),
        ({"SeriesDescription": "Thoracic spine"}, Part.UNKNOWN),
        ({"SeriesDescription": "Thorax BWS"}, Part.UNKNOWN),
        ({"SeriesDescription": "RIBS"}, Part.UNKNOWN),
        # Descriptions together with the examined part.
        ({"BodyPartExamined": "CHEST", "ProtocolName": "Knee AP"}, Part.UNKNOWN),
        ({"BodyPartExamined": "CHEST", "ProtocolName": "RIBS"}, Part.UNKNOWN),
        ({"BodyPartExamined": "CHEST", "ProtocolName": "Chest and ribs"}, Part.CHEST),  # of several images
        ({"BodyPartExamined": "CHEST", "AcquisitionDeviceProcessingDescription": "[LOWER LEG  ]"}, Part.UNKNOWN),
        (
            {"BodyPartExamined": "CHEST", "StudyDescription": "ABDOMEN SERIES"},
            Part.CHEST,
        ),  # of the study, not the image
        ({"BodyPartExamined": "CHEST", "SeriesDescription": "PORTABLE"}, Part.CHEST),
        ({"BodyPartExamined": "HIP", "ProtocolName": "Chest PA"}, Part.UNKNOWN),
        ({"BodyPartExamined": "ABDOMEN", "SeriesDescription": "Thorax + Abdomen"}, Part.UNKNOWN),
        ({"BodyPartExamined": "ABDOMEN", "StudyDescription": "CHEST AND ABDOMEN"}, Part.OTHER),
        ({"BodyPartExamined": "TSPINE", "SeriesDescription": "Thoracic spine AP"}, Part.OTHER),
        ({"BodyPartExamined": "RIB", "SeriesDescription": "CHEST PA"}, Part.UNKNOWN),
        ({"BodyPartExamined": "CHESTABDOMEN", "SeriesDescription": "CHEST PA"}, Part.UNKNOWN),
    ],
)
def test_evidence_agrees_or_the_part_is_unknown(changes: dict[str, Any], expected: Part) -> None:
    assert part(**changes) is expected


@pytest.mark.parametrize(
    ("changes", "sender", "expected"),
    [
        ({}, "CHESTROOM", Part.CHEST),
        ({}, "OTHERROOM", Part.UNKNOWN),
        ({"BodyPartExamined": "GENERAL"}, "CHESTROOM", Part.CHEST),
        ({"BodyPartExamined": "HIP"}, "CHESTROOM", Part.OTHER),
        ({"ProtocolName": "Knee AP"}, "CHESTROOM", Part.UNKNOWN),
        ({"StudyDescription": "KNEE"}, "CHESTROOM", Part.UNKNOWN),
        ({"BodyPartExamined": "RIB"}, "CHESTROOM", Part.UNKNOWN),
    ],
)
def test_a_rule_of_the_site_counts_where_nothing_speaks(changes: dict[str, Any], sender: str, expected: Part) -> None:
    site = EligibilityPolicy(chest_ae_titles=frozenset({"CHESTROOM"}))
    assert part(sender=sender, policy=site, **changes) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"BodyPartExamined": "PLICA"}, Part.CHEST),
        ({"StudyDescription": "Plica AP"}, Part.CHEST),
        ({"BodyPartExamined": "GANGLION LEG"}, Part.OTHER),
        ({"BodyPartExamined": "STALLION"}, Part.OTHER),
        ({"BodyPartExamined": "NECK"}, Part.UNKNOWN),
        ({"BodyPartExamined": "CHEST", "ProtocolName": "neck"}, Part.CHEST),
    ],
)
def test_a_site_adds_and_silences_words(changes: dict[str, Any], expected: Part) -> None:
    words = SiteWords(chest=("plica",), other_part=("stallion",), ignored=("neck",))
    assert part(policy=EligibilityPolicy(words=words), **changes) is expected


def test_the_reason_names_the_part_in_our_words_and_never_what_is_written() -> None:
    attributes = attributes_of(BodyPartExamined="SMITH HAND", AnatomicRegionSequence=codes("29836001"))
    refusal = ineligible(attributes, SITE)
    assert refusal is not None and refusal.detail == "body part: hand, hip"
    assert names_of_other_parts(attributes_of(BodyPartExamined="CHEST"), SITE) == []


@pytest.mark.parametrize("value", ["", " ", "CHEST", "HIP", "RIB", "NA", "胸部", "\\", "CHEST\\HIP"])
@pytest.mark.parametrize("description", ["", "CHEST PA", "KNEE", "CHEST AND KNEE"])
def test_only_what_says_chest_is_one_and_only_another_part_without_a_chest_is_left_out(
    value: str, description: str
) -> None:
    """Whatever is combined: CHEST needs a word for it, and OTHER needs one for another part and none for the chest."""
    said = f"{value} {description}"
    found = part(BodyPartExamined=value, ProtocolName=description)
    if found is Part.CHEST:
        assert "CHEST" in said or "胸部" in said
    if found is Part.OTHER:
        assert "HIP" in value and "CHEST" not in said
