"""Objects rebuilt from public reports of people who run such services: none is left out, or normal, by mistake."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.support.radiographs import opened
from triage.radiograph.body_part import part_of
from triage.radiograph.eligibility import ineligible, view_of
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.types import Attributes, Part, View

SITE = EligibilityPolicy()
SAYS_NO_CHEST = {"RIBCAGE", "NA", "N/A", "TRONCO", "GENERAL", "ROUTINE", "XRAY", "ÐØ²¿"}


def cases(triage_data: Path, *kinds: str) -> dict[str, Attributes]:
    """The attributes of every case of these kinds, by its name."""
    folder = triage_data / "field-cases"
    if not folder.exists():
        pytest.skip("no field cases below TRIAGE_DATA")
    with (folder / "cases.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["case"].startswith(kinds)]
    return {row["case"]: opened((folder / row["input"]).read_bytes())[1] for row in rows}


def test_a_view_that_is_no_plain_frontal_or_contradicts_itself_is_scored_and_unverified(triage_data: Path) -> None:
    found = cases(triage_data, "K01", "K02")
    assert len(found) >= 11
    assert {name: view_of(each, SITE) for name, each in found.items()} == dict.fromkeys(found, View.UNKNOWN)
    assert [ineligible(each, SITE) for each in found.values()] == [None] * len(found)


def test_a_modality_of_another_name_is_a_radiograph(triage_data: Path) -> None:
    found = cases(triage_data, "L01")
    assert len(found) >= 5
    assert {name: ineligible(each, SITE) for name, each in found.items()} == dict.fromkeys(found)


def test_a_body_part_in_other_words_is_scored_and_a_chest_if_it_says_so(triage_data: Path) -> None:
    found = cases(triage_data, "L02", "P08u")
    assert len(found) >= 22
    for name, each in found.items():
        expected = Part.UNKNOWN if each.body_part_examined in SAYS_NO_CHEST else Part.CHEST
        assert (ineligible(each, SITE), part_of(each, SITE)) == (None, expected), name


def test_an_age_of_placeholders_and_contradictions_is_unknown_with_its_reason(triage_data: Path) -> None:
    found = cases(triage_data, "J02")
    assert len(found) >= 3
    assert all(each.age_years is None and each.age_doubt for each in found.values())
