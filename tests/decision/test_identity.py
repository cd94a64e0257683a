"""Identifiers and their issuers: what can be one, and what makes objects those of different patients."""

import pytest

from triage.decision.identity import Issuer, PatientIdentifier, PatientMarks, any_may_be, contradiction, mark

OID = "1.2.40.0.13.1.1"


def of(value: str, issuer: str = "", born: str = "", names: tuple[tuple[str, ...], ...] = ()) -> PatientMarks:
    identifiers = ((mark(value), issuer),) if value else ()
    return PatientMarks(identifiers, mark(born), tuple(tuple(map(mark, words)) for words in names))


@pytest.mark.parametrize("text", ["", "HOSP", f"HOSP&{OID}&ISO", f"&{OID}&ISO"])
def test_an_issuer_is_the_same_after_it_was_a_text(text: str) -> None:
    assert str(Issuer.from_text(text)) == text


def test_a_separator_in_a_part_moves_no_part() -> None:
    assert Issuer.from_text(str(Issuer("A&B", OID, "ISO"))) == Issuer("A B", OID, "ISO")


@pytest.mark.parametrize(
    ("one", "other", "contradict"),
    [
        ("", "HOSP", False),
        ("hosp", "HOSP", False),
        ("HOSP_A", "HOSP_B", True),
        (f"A&{OID}&ISO", f"B&{OID}&ISO", False),  # the universal ID is the name that counts
        (f"A&{OID}&ISO", "A&1.2.3&ISO", True),
        (f"A&{OID}&ISO", "A&hosp.example&DNS", False),  # IDs of two kinds cannot be compared: the names can
        (f"A&{OID}&ISO", "B&hosp.example&DNS", True),
        (f"A&{OID}&ISO", "A", False),
        (f"&{OID}&ISO", "B", False),
    ],
)
def test_issuers_contradict_each_other_only_where_both_are_stated(one: str, other: str, contradict: bool) -> None:
    pair = Issuer.from_text(one), Issuer.from_text(other)
    assert pair[0].contradicts(pair[1]) is contradict
    assert pair[1].contradicts(pair[0]) is contradict


def test_one_number_of_two_hospitals_is_two_identifiers() -> None:
    ours = PatientIdentifier("4711", Issuer("HOSP_A"))
    assert ours.may_be(PatientIdentifier("4711"))
    assert ours.may_be(PatientIdentifier(" 4711 ", Issuer("hosp_a")))
    assert not ours.may_be(PatientIdentifier("4711", Issuer("HOSP_B")))
    assert not ours.may_be(PatientIdentifier("4712", Issuer("HOSP_A")))
    assert not PatientIdentifier("").may_be(PatientIdentifier(""))
    assert any_may_be([PatientIdentifier("1"), ours], [PatientIdentifier("4711")])


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (of("1"), of("1"), ""),
        (of("1"), of(""), ""),
        (of("1"), of("2"), "Patient ID"),
        (of("1", "A"), of("1", "B"), "Patient ID"),
        (of("1", "A"), of("1"), ""),
        (of("1", born="19500101"), of("1", born="19600101"), "Patient's Birth Date"),
        (of("", born="19500101"), of("1", born="19600101"), "Patient's Birth Date"),
        (of("", names=(("doe", "jane"),)), of("", names=(("roe", "mary"),)), "Patient's Name"),
        (of("1", names=(("doe", "jane"),)), of("1", names=(("roe", "mary"),)), "Patient's Name"),
        (of("1", names=(("doe", "jane"),)), of("1", names=(("smith", "jane"),)), ""),
        (of("1", names=(("yamada",), ("山田",))), of("1", names=(("ヤマダ",), ("山田",))), ""),
        (of("1", names=((), ("山田",))), of("1", names=(("yamada",),)), ""),
        (of("1", born="19500101", names=(("a",),)), of("1", born="19500101", names=(("b",),)), ""),
    ],
)
def test_what_makes_objects_those_of_different_patients(one: PatientMarks, other: PatientMarks, why: str) -> None:
    assert contradiction([one, other]) == why
    assert contradiction([other, one, other]) == why


def test_a_patient_is_known_by_another_of_his_numbers() -> None:
    both = PatientMarks(identifiers=((mark("1"), "A"), (mark("2"), "B")))
    assert contradiction([both, of("2", "B"), both]) == ""
    assert contradiction([both, of("2", "C")]) == "Patient ID"
