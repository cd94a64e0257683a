"""The table of codes against PS3.16, as pydicom has it."""

from __future__ import annotations

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from triage.decision.finding_codes import KNOWN_CODES, LONGEST_VALUE, code_of


@pytest.mark.parametrize("name", sorted(KNOWN_CODES))
def test_a_code_of_the_standard_is_in_the_context_group_that_the_table_names(name: str) -> None:
    known = KNOWN_CODES[name]
    if known.code.scheme == "RADLEX":
        assert known.code.value.startswith("RID") and known.code.value[3:].isdigit()
        return
    group = int(known.source.rpartition(" ")[2])
    keywords = cid_concepts[group][known.code.scheme]
    found = {value: text for each in keywords for value, (text, _) in concepts[known.code.scheme][each].items()}
    assert found[known.code.value] == known.code.meaning


def test_a_finding_of_no_table_has_a_code_of_our_own() -> None:
    code = code_of("hilar_lymphadenopathy", "Hilar lymphadenopathy")
    assert (code.value, code.scheme, code.meaning) == ("hilar_lym_0104dd", "99CXRTRIAGE", "Hilar lymphadenopathy")
    assert code_of("cardiomegaly", "Cardiomegaly").value == "cardiomegaly"


def test_long_names_that_begin_alike_have_codes_of_their_own() -> None:
    left, right = (code_of(f"pleural_effusion_{side}", side) for side in ("left", "right"))
    assert left.value != right.value and max(len(left.value), len(right.value)) <= LONGEST_VALUE
