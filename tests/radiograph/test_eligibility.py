"""Eligibility, view and age by the attributes of an object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
)

from tests.support.radiographs import a_dataset, as_file, opened
from triage.decision.reasons import Reason
from triage.radiograph.attributes import read_attributes
from triage.radiograph.eligibility import ineligible, view_of
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.types import Attributes, View
from triage.radiograph.vocabulary import SiteWords

SITE = EligibilityPolicy(frozenset({"CHESTROOM"}), (r"thorax\s+stehend",))


def codes(*values: str) -> Sequence:
    items = []
    for value in values:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "a view"
        items.append(item)
    return Sequence(items)


def attributes_of(**changes: Any) -> Attributes:
    """Return attributes read from the bytes of a file, without any view unless ``changes`` state one."""
    return opened(as_file(a_dataset(**{"ViewPosition": None, **changes})))[1]


def view(*, sender: str = "", **changes: Any) -> View:
    return view_of(attributes_of(**changes), SITE, sender)


def reason(**changes: Any) -> Reason | None:
    refusal = ineligible(attributes_of(**changes), SITE)
    return refusal.reason if refusal else None


# Views.


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("399033003", View.FRONTAL),
        ("272479007", View.PA),
        ("399348003", View.AP),
        ("R-10202", View.FRONTAL),
        ("R-10214", View.PA),
        ("R-10206", View.AP),
        ("399067008", View.LATERAL),
        ("399173006", View.LATERAL),
        ("399198007", View.LATERAL),
        ("R-102CD", View.LATERAL),
        ("399135007", View.OTHER),  # left anterior oblique
        ("R-10220", View.OTHER),
        ("399061009", View.UNKNOWN),  # axial: of a chest, angled
        ("399196006", View.UNKNOWN),  # caudo-cranial
        ("PRIVATE1", View.UNKNOWN),
    ],
)
def test_a_view_code_says_the_view(code: str, expected: View) -> None:
    assert view(ViewCodeSequence=codes(code)) is expected


def test_every_code_of_the_standard_s_views_is_known_and_three_of_them_are_frontals() -> None:
    standard = {
        code: meaning
        for scheme, names in cid_concepts[4010].items()
        for name in names
        for code, (meaning, cids) in concepts[scheme][name].items()
        if 4010 in cids and name not in ("OcclusalProjection", "TissueSpecimen")
    }
    views = {meaning: view(ViewCodeSequence=codes(code)) for code, meaning in standard.items()}
    frontal = {meaning for meaning, found in views.items() if found.is_frontal}
    assert frontal == {"frontal", "postero-anterior", "antero-posterior"}
    lateral = {"lateral", "left lateral", "right lateral", "lateral-medial", "medial-lateral", "Sagittal"}
    angled = {"axial", "caudo-cranial", "cranio-caudal", "tangential"}
    assert angled <= {meaning for meaning, found in views.items() if found is View.UNKNOWN}
    unlisted = {meaning for meaning, found in views.items() if found is View.UNKNOWN} - angled
    assert {meaning for meaning, found in views.items() if found is View.LATERAL} == lateral
    assert unlisted <= {
        "acanthioparietal",
        "orbitoparietal",
        "plantodorsal",
        "verticosubmental",
        "parietoacanthial",
    } | {
        "submentovertical",
        "dorsoplantar",
        "parieto-orbital",
    }  # of skull and foot


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("PA", View.PA),
        ("AP", View.AP),
        ("pa", View.PA),
        ("AP SUPINE", View.AP),
        ("LL", View.LATERAL),
        ("RL", View.LATERAL),
        ("LATERAL", View.LATERAL),
        ("LAT", View.LATERAL),
        ("LEFT LATERAL", View.LATERAL),
        ("LLD", View.OTHER),
        ("RLD", View.OTHER),
        ("LAO", View.OTHER),
        ("RPO", View.OTHER),
        ("RLO", View.OTHER),
        ("OBLIQUE", View.OTHER),
        ("AP DECUB", View.UNKNOWN),
        ("AP AXIAL", View.UNKNOWN),
        ("AP LORDOTIC", View.UNKNOWN),
        ("AP_PORTABLE", View.AP),
        ("PA ERECT", View.PA),
        ("PA GRID 2", View.PA),
        ("A.P.", View.AP),
        ("P/A", View.PA),
        ("Pa", View.PA),
        ("POSTERO_ANTERIOR", View.PA),
        ("FRONTAL", View.FRONTAL),
        ("PA FOO", View.UNKNOWN),  # what is not understood is not known to be plain
        ("PA AP", View.FRONTAL),
        ("AP NICU", View.AP),
        ("PA 72IN", View.PA),
        ("PA LAT", View.UNKNOWN),
        ("LLAT", View.LATERAL),
        ("LATERAL FOO", View.LATERAL),
        ("R LAT", View.LATERAL),
        ("LL UPRIGHT", View.LATERAL),
        ("MLO", View.UNKNOWN),
        ("AXIAL", View.UNKNOWN),
        ("ERECT", View.UNKNOWN),
        ("UNKNOWN", View.UNKNOWN),
        ("XYZ", View.UNKNOWN),
        ("", View.UNKNOWN),
    ],
)
def test_view_position_says_the_view(position: str, expected: View) -> None:
    assert view(ViewPosition=position) is expected


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ("L", "F", View.FRONTAL),
        ("R", "F", View.FRONTAL),
        ("LF", "FR", View.FRONTAL),  # turned a little in its plane
        ("A", "F", View.LATERAL),
        ("P", "F", View.LATERAL),
        ("F", "A", View.LATERAL),
        ("LA", "F", View.OTHER),  # oblique
        ("L", "P", View.OTHER),  # axial
        ("L", "H", View.UNKNOWN),  # upside down
        ("F", "L", View.UNKNOWN),  # on its side
        ("X", "F", View.UNKNOWN),
    ],
)
def test_patient_orientation_says_the_plane(row: str, column: str, expected: View) -> None:
    assert view(PatientOrientation=[row, column]) is expected


def test_a_chest_that_lies_in_its_pixels_is_unknown_whatever_view_position_says() -> None:
    assert view(PatientOrientation=["F", "L"], ViewPosition="PA") is View.UNKNOWN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CHEST PA", View.PA),
        ("Chest_PA", View.PA),
        ("Thorax p.a.", View.PA),
        ("Thorax a.p. liegend", View.AP),
        ("W034 Thorax ap/pa", View.FRONTAL),
        ("Chest frontal", View.FRONTAL),
        ("Thorax seitlich", View.LATERAL),
        ("CHEST_LAT", View.LATERAL),
        ("Left lateral chest", View.LATERAL),
        ("Chest oblique", View.OTHER),
        ("left lateral decubitus", View.OTHER),
        ("AP lateral decubitus", View.UNKNOWN),
        ("Chest PA and lateral", View.UNKNOWN),
        ("PA/LAT", View.UNKNOWN),
        ("Chest 2 views", View.UNKNOWN),
        ("Bilateral ribs", View.UNKNOWN),
        ("PAIN IN CHEST", View.UNKNOWN),
        ("RAPID", View.UNKNOWN),
        ("Chest lordotic", View.UNKNOWN),
        ("Thorax in 2 Ebenen", View.UNKNOWN),
        ("Chest PA & LAT", View.UNKNOWN),
        ("Chest PA + wie immer", View.UNKNOWN),  # of several images, whichever the other one is
        ("AP DECUBITO SUPINO", View.AP),
        ("Thorax AP décubitus dorsal", View.AP),
        ("decúbito lateral izquierdo", View.OTHER),
        ("dorsal decubitus AP", View.UNKNOWN),  # a horizontal beam, in English; in French the patient is supine
        ("Thorax a.p. quer", View.AP),  # the format
    ],
)
@pytest.mark.parametrize(
    "name", ["ProtocolName", "SeriesDescription", "StudyDescription", "AcquisitionDeviceProcessingDescription"]
)
def test_a_description_may_say_the_view(name: str, text: str, expected: View) -> None:
    assert view(**{name: text, "SpecificCharacterSet": "ISO_IR 192"}) is expected


LATERALS = """
TORAX PERFIL|Thorax latéral|THORAX LATERAL|Torax L-L|Thorax LL|BOCZNE|RTG klatki piersiowej boczne|bok|sidebilde
Zijdelings|RLAT|LLAT CHEST|Thorax dwars|PERFIL IZQUIERDO|Perfil Direito|BOKOVAYA|боковая|Боковая проекция
левая боковая|бічна|seitlich|Chest_LAT|ChestLat|CHESTLAT|thorax profil|de profil|profil gauche|laterale|Torace LL
latero-laterale|profilo|boční|bočná|LAT|yandan|sol yan|sidobild|sidebillede|sivukuva|πλάγια|oldalirányú|laterală|侧位
胸部側面|右侧位|側面像|측면|흉부 측면|جانبي|nghiêng|Thorax zijopname|lateraal|profiel|Left lateral|L LAT|RT LAT
Seitenaufnahme|mediolateral|ＬＡＴ|Thorax seitl.|profilna|hrudník bočně
"""
NO_PLAIN_FRONTALS = """
AP AXIAL|axial|lordotic|AP lordótica|Lordoseaufnahme|apical|apicolordotic|tangential|Chest profile|right side
decubitus|décubitus|Thorax yan|前弓位|肺尖|lordotique|szczytowe|CAUDAD 15|PA angled
"""
PLAIN_FRONTALS = """
CHEST PA|Thorax p.a.|ThoraxPA|TORAX PA|Thorax face|Tórax frente|frontal|прямая проекция|задняя прямая|正位|胸部正面
정면|CHEST AP PORTABLE|zadopřední|przednio-tylne|posteroanterior|antéro-postérieur|ön arka|szemből|forfra|etukuva
أمامي|PA 14x17 grid|Thorax a.p. liegend
"""
OF_SEVERAL = """
PA and lateral|PA/LAT|face et profil|Thorax face + profil|frente y perfil|PA i boczne|PA+bok|Thorax in 2 Ebenen
CHEST 2 VIEWS|прямая и боковая|ap/lateral|胸部正側|正侧位|정측면|RX TORACE 2 PROIEZIONI|předozadní a boční
"""


def each(text: str) -> list[str]:
    return [words for line in text.strip().splitlines() for words in line.split("|")]


@pytest.mark.parametrize("text", each(LATERALS))
def test_a_lateral_is_one_in_many_languages(text: str) -> None:
    """Left out where it is all that is said, and a contradiction to a stated frontal."""
    says = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": text}
    assert view(**says) is View.LATERAL
    assert view(**says, ViewPosition="PA") is View.UNKNOWN
    assert view(**says, ViewPosition="LL") is View.LATERAL
    assert reason(**says, ViewPosition="PA") is None  # scored, and view_unverified


@pytest.mark.parametrize("text", each(NO_PLAIN_FRONTALS))
def test_an_angled_or_doubtful_view_is_scored_and_no_frontal(text: str) -> None:
    says = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": text}
    assert view(**says) is View.UNKNOWN
    assert view(**says, ViewPosition="AP") is View.UNKNOWN
    assert reason(**says) is None


@pytest.mark.parametrize("text", each(PLAIN_FRONTALS))
def test_a_plain_frontal_is_one_in_many_languages(text: str) -> None:
    says = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": text}
    assert view(**says).is_frontal
    assert view(**says, ViewPosition="LL") is View.UNKNOWN


@pytest.mark.parametrize("text", each(OF_SEVERAL))
def test_a_text_of_several_images_says_nothing_of_one(text: str) -> None:
    says = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": text}
    assert view(**says) is View.UNKNOWN
    assert view(**says, ViewPosition="PA") is View.PA
    assert view(**says, ViewPosition="LL") is View.LATERAL


def test_a_site_adds_and_silences_words_of_views() -> None:
    def with_words(text: str, **words: tuple[str, ...]) -> View:
        policy = EligibilityPolicy(words=SiteWords(**words))
        return view_of(attributes_of(SeriesDescription=text, ViewPosition="PA"), policy)

    assert with_words("kylg") is View.PA
    assert with_words("kylg", lateral=("kylg",)) is View.UNKNOWN
    assert with_words("Thorax schief", doubtful_view=("schief",)) is View.UNKNOWN
    assert with_words("PERFIL 3") is View.UNKNOWN
    assert with_words("PERFIL 3", ignored=("perfil",)) is View.PA


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Agreement; the more precise one names it.
        ({"ViewCodeSequence": codes("399033003"), "ViewPosition": "AP"}, View.AP),
        ({"ViewPosition": "PA", "PatientOrientation": ["L", "F"], "StudyDescription": "CHEST PA"}, View.PA),
        ({"ViewPosition": "LL", "PatientOrientation": ["A", "F"]}, View.LATERAL),
        ({"ViewPosition": "PA", "StudyDescription": "Chest PA and lateral"}, View.PA),
        ({"ProtocolName": "Chest PA", "StudyDescription": "Chest lateral"}, View.PA),
        # Both frontal: whether PA or AP is not known.
        ({"ViewPosition": "PA", "SeriesDescription": "CHEST AP"}, View.FRONTAL),
        ({"ViewCodeSequence": codes("272479007", "399348003")}, View.FRONTAL),
        # Contradictions, from every side.
        ({"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, View.UNKNOWN),
        ({"ViewCodeSequence": codes("272479007"), "ViewPosition": "LL"}, View.UNKNOWN),
        ({"ViewCodeSequence": codes("399173006"), "ViewPosition": "PA"}, View.UNKNOWN),
        ({"ViewCodeSequence": codes("272479007", "399173006")}, View.UNKNOWN),
        ({"ViewCodeSequence": codes("399135007"), "ViewPosition": "PA"}, View.UNKNOWN),
        ({"ViewPosition": "LATERAL", "SeriesDescription": "CHEST PA"}, View.UNKNOWN),
        ({"ViewPosition": "AP", "SeriesDescription": "Left lateral decubitus"}, View.UNKNOWN),
        ({"ProtocolName": "Chest PA", "SeriesDescription": "Chest lateral"}, View.UNKNOWN),
    ],
)
def test_evidence_agrees_or_the_view_is_unknown(changes: dict[str, Any], expected: View) -> None:
    assert view(**changes) is expected


def modified(view_code: str, *modifiers: str) -> Sequence:
    """View Code Sequence of one code with modifiers."""
    made = codes(view_code)
    made[0].ViewModifierCodeSequence = codes(*modifiers)
    return made


def positioned(*modifiers: str) -> Sequence:
    """Patient Orientation Code Sequence: recumbent, with modifiers."""
    made = codes("102538003")
    made[0].PatientOrientationModifierCodeSequence = codes(*modifiers)
    return made


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Modifiers of the view code.
        ({"ViewCodeSequence": modified("399348003")}, View.AP),
        ({"ViewCodeSequence": modified("399348003", "102538003")}, View.AP),  # recumbent
        ({"ViewCodeSequence": modified("272479007", "C86043")}, View.PA),  # erect
        ({"ViewCodeSequence": modified("399348003", "399196006")}, View.UNKNOWN),  # cephalad: lordotic
        ({"ViewCodeSequence": modified("399348003", "260450008")}, View.UNKNOWN),
        ({"ViewCodeSequence": modified("399173006", "399196006")}, View.LATERAL),
        ({"ViewCodeSequence": modified("399348003", "111069")}, View.OTHER),  # crosstable
        ({"ViewCodeSequence": modified("399348003", "102536004")}, View.OTHER),  # left lateral decubitus
        ({"ViewCodeSequence": modified("R-10206", "F-10318")}, View.OTHER),
        ({"ViewCodeSequence": modified("399348003", "399182000")}, View.OTHER),  # oblique
        ({"ViewCodeSequence": modified("399348003", "C86043", "399162004")}, View.UNKNOWN),
        ({"ViewCodeSequence": modified("399348003", "399162004", "111069")}, View.OTHER),
        ({"ViewCodeSequence": modified("399173006", "111069")}, View.LATERAL),
        ({"ViewCodeSequence": modified("399173006", "PRIVATE1")}, View.LATERAL),
        ({"ViewCodeSequence": modified("399348003", "PRIVATE1")}, View.UNKNOWN),
        ({"ViewCodeSequence": modified("399348003", "102536004"), "ViewPosition": "LLD"}, View.OTHER),
        ({"ViewCodeSequence": modified("399348003", "102536004"), "ViewPosition": "AP"}, View.UNKNOWN),
        # How the patient lies.
        ({"PatientPosition": "HFDL"}, View.OTHER),
        ({"PatientPosition": "FFDR"}, View.OTHER),
        ({"PatientPosition": "HFS"}, View.UNKNOWN),
        ({"PatientPosition": "HFS", "ViewPosition": "AP"}, View.AP),
        ({"PatientPosition": "HFDL", "ViewPosition": "LLD"}, View.OTHER),
        ({"PatientPosition": "HFDL", "ViewPosition": "AP"}, View.UNKNOWN),
        ({"PatientPosition": "hfdr", "ViewPosition": "PA"}, View.UNKNOWN),
        ({"PatientOrientationCodeSequence": positioned("102535000")}, View.OTHER),
        ({"PatientOrientationCodeSequence": positioned("40199007"), "ViewPosition": "AP"}, View.AP),  # supine
        ({"PatientOrientationCodeSequence": positioned("F-10319"), "ViewPosition": "AP"}, View.UNKNOWN),
        ({"PatientOrientationCodeSequence": positioned("260450008"), "ViewPosition": "AP"}, View.UNKNOWN),  # lordotic
        ({"PatientOrientationCodeSequence": positioned("R-40799")}, View.UNKNOWN),
    ],
)
def test_angles_and_patients_on_their_side_are_no_frontals(changes: dict[str, Any], expected: View) -> None:
    assert view(**changes) is expected


@pytest.mark.parametrize("cid", [4011, 19, 20])
def test_every_modifier_of_the_standard_is_known(cid: int) -> None:
    standard = {
        code: name
        for scheme, names in cid_concepts[cid].items()
        for name in names
        for code, (_, cids) in concepts[scheme][name].items()
        if cid in cids
    }
    found = {name: view(ViewCodeSequence=modified("399348003", code)) for code, name in standard.items()}
    never = {"MouthClosed", "Frog", "Lithotomy", "Kneeling", "Trendelenburg", "InverseTrendelenburg"}  # no chest
    angled = {name for name in found if name.startswith(("Cephal", "Caud", "Cranio", "Lordotic"))}
    assert {name for name, what in found.items() if what is View.UNKNOWN} <= never | angled
    assert all(found[name] is View.UNKNOWN for name in angled)
    assert {name for name, what in found.items() if "Decubitus" in name or cid == 4011} - never - angled <= {
        name for name, what in found.items() if what is View.OTHER
    }


EVIDENCE = {
    "ViewCodeSequence": {View.PA: codes("272479007"), View.LATERAL: codes("399173006"), View.OTHER: codes("399182000")},
    "ViewPosition": {View.PA: "PA", View.LATERAL: "LL", View.OTHER: "RLD"},
    "PatientPosition": {View.OTHER: "HFDR"},
    "PatientOrientation": {View.PA: ["L", "F"], View.LATERAL: ["P", "F"], View.OTHER: ["LA", "F"]},
    "SeriesDescription": {View.PA: "Chest PA", View.LATERAL: "Chest lat", View.OTHER: "Chest oblique"},
}


@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(list(kinds)) for name, kinds in EVIDENCE.items()}))
def test_nothing_is_frontal_that_anything_says_is_not(said: dict[str, View]) -> None:
    dataset = Dataset()
    for name, what in said.items():
        setattr(dataset, name, EVIDENCE[name][what])
    found = view_of(read_attributes(dataset), SITE, "CHESTROOM")
    assert found.is_frontal == (set(said.values()) <= {View.PA})
    if len(set(said.values())) == 1 and View.PA not in said.values():
        assert found in said.values()


@pytest.mark.parametrize(
    ("changes", "sender", "expected"),
    [
        ({}, "CHESTROOM", View.FRONTAL),
        ({}, "OTHER", View.UNKNOWN),
        ({"StudyDescription": "THORAX  Stehend"}, "", View.FRONTAL),
        ({"ViewPosition": "LL"}, "CHESTROOM", View.LATERAL),
        ({"ViewPosition": "LLD", "StudyDescription": "Thorax stehend"}, "", View.OTHER),
        ({"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, "CHESTROOM", View.UNKNOWN),
        ({"ViewPosition": "AP"}, "CHESTROOM", View.AP),
    ],
)
def test_a_rule_of_the_site_counts_where_no_attribute_speaks(
    changes: dict[str, Any], sender: str, expected: View
) -> None:
    assert view(sender=sender, **changes) is expected


# What is scored.


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ViewPosition": "PA"}, None),
        ({"SOPClassUID": DigitalXRayImageStorageForPresentation, "Modality": "DX"}, None),
        # The SOP class says what it is, unless Modality clearly says something else.
        *[({"Modality": modality}, None) for modality in ("", "DR", "RG", "XR", "OT", "RF", "X-RAY", ["CR", "DX"])],
        *[({"Modality": modality}, Reason.NOT_A_RADIOGRAPH) for modality in ("CT", "PX", "IO", "US", ["MG", "US"])],
        ({"Modality": "DR", "SOPClassUID": SecondaryCaptureImageStorage}, Reason.NOT_A_RADIOGRAPH),
        ({"PresentationIntentType": "FOR PROCESSING"}, Reason.FOR_PROCESSING),
        ({"SOPClassUID": DigitalXRayImageStorageForProcessing, "Modality": "DX"}, Reason.FOR_PROCESSING),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": GrayscaleSoftcopyPresentationStateStorage, "Modality": "PR"}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": KeyObjectSelectionDocumentStorage, "Modality": "KO"}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": BasicTextSRStorage, "Modality": "SR"}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": EncapsulatedPDFStorage, "Modality": "DOC"}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": CTImageStorage, "Modality": "CT"}, Reason.NOT_A_RADIOGRAPH),
        ({"SOPClassUID": XRayAngiographicImageStorage, "Modality": "XA"}, Reason.NOT_A_RADIOGRAPH),
        (
            {"SOPClassUID": DigitalMammographyXRayImageStorageForPresentation, "Modality": "MG"},
            Reason.NOT_A_RADIOGRAPH,
        ),
        ({"Modality": "MG"}, Reason.NOT_A_RADIOGRAPH),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.LOCALIZER),
        ({"ImageType": ["DERIVED", "PRIMARY"]}, None),
        ({"ViewPosition": "LL"}, Reason.NOT_FRONTAL),
        ({"ViewPosition": "RLD"}, Reason.NOT_FRONTAL),
        ({"ViewCodeSequence": codes("399135007")}, Reason.NOT_FRONTAL),
        ({"PatientPosition": "HFDL"}, Reason.NOT_FRONTAL),
        ({"PatientPosition": "HFDL", "ViewPosition": "AP"}, None),  # a contradiction: scored, view_unverified
        ({"NumberOfFrames": 2}, Reason.MULTI_FRAME),
        ({"NumberOfFrames": 1}, None),
    ],
)
def test_what_is_scored_and_why_the_rest_is_not(changes: dict[str, Any], expected: Reason | None) -> None:
    assert reason(**changes) is expected


@pytest.mark.parametrize("modality", ["ZZSMITH", "CT", "CR"])
def test_a_modality_is_repeated_only_if_it_is_a_defined_term(modality: str) -> None:
    refusal = ineligible(attributes_of(Modality=modality, SOPClassUID=CTImageStorage), SITE)
    assert refusal is not None and (modality in refusal.detail) == (modality != "ZZSMITH")


@pytest.mark.parametrize(
    ("changes", "animal"),
    [
        ({}, False),
        ({"PatientSpeciesDescription": "Homo sapiens"}, False),
        ({"PatientSpeciesDescription": "HUMAN"}, False),
        ({"PatientSpeciesDescription": "Human being (H. sapiens)"}, False),
        ({"PatientSpeciesDescription": "Mensch"}, False),
        ({"PatientSpeciesDescription": "人"}, False),
        ({"PatientSpeciesDescription": ""}, False),
        ({"PatientSpeciesDescription": "UNKNOWN"}, False),
        ({"PatientSpeciesCodeSequence": codes("337915000")}, False),
        ({"PatientSpeciesCodeSequence": codes("L-85B00")}, False),
        ({"PatientSpeciesDescription": "Canis familiaris"}, True),
        ({"PatientSpeciesDescription": "Katze"}, True),
        ({"PatientSpeciesDescription": "犬"}, True),
        ({"PatientSpeciesCodeSequence": codes("448771007")}, True),  # domestic dog
        ({"PatientSpeciesDescription": "human", "PatientSpeciesCodeSequence": codes("448771007")}, True),
        ({"PatientBreedDescription": "Beagle"}, True),
        ({"PatientBreedDescription": "N/A"}, False),
        ({"PatientBreedCodeSequence": codes("132505000")}, True),
    ],
)
def test_an_animal_has_no_age_that_a_model_is_for(changes: dict[str, Any], animal: bool) -> None:
    refusal = ineligible(attributes_of(ViewPosition="PA", SpecificCharacterSet="ISO_IR 192", **changes), SITE)
    assert (refusal.reason if refusal else None) is (Reason.AGE_UNKNOWN if animal else None)


# Odd values count as empty.


@given(st.data())
def test_reading_attributes_never_raises(data: st.DataObject) -> None:
    dataset = Dataset()
    names = ["Modality", "ViewPosition", "PatientOrientation", "ImageType", "BodyPartExamined", "PatientAge"]
    values = st.one_of(st.text(max_size=10), st.lists(st.text(max_size=4), max_size=3), st.none())
    for name in names:
        element = data.draw(values)
        try:
            setattr(dataset, name, element)
        except Exception:  # pydicom itself refuses it
            continue
    dataset.add_new("NumberOfFrames", "LO", data.draw(st.text(max_size=5)))
    dataset.add_new("ViewCodeSequence", "LO", "no sequence")
    found = read_attributes(dataset)
    view_of(found, SITE)
    ineligible(found, SITE)
    assert found.view_codes == ()


def test_the_rest_of_a_damaged_data_set_is_no_description() -> None:
    """A wrong length makes everything behind it a part of one value."""
    for swallowed in ("CHEST PA\0\x10LAT", "CHEST PA LAT" + " CS" * 400):
        dataset = Dataset()
        dataset.add_new("StudyDescription", "LT", swallowed)
        assert read_attributes(dataset).study_description == ""
    dataset.add_new("StudyDescription", "LT", "CHEST PA" + " x" * 100)
    assert read_attributes(dataset).study_description.startswith("CHEST PA")
