"""The words and codes of our lists: whole, without contradictions, and what the standard has in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from triage.radiograph import vocabulary
from triage.radiograph.types import Part, View
from triage.radiograph.vocabulary import PART_OF_CODE, SiteWords
from triage.radiograph.words import spellings

PARTS = vocabulary._loaded("body_parts.toml")
VIEWS = vocabulary._loaded("views.toml")
LANGUAGES = {
    *("en", "de", "fr", "es", "pt", "it", "nl", "pl", "cs", "ru", "uk", "tr", "no", "da", "sv", "fi", "el", "hu", "ro"),
    *("zh", "ja", "ko", "ar"),
}


def languages(*tables: vocabulary.Table) -> set[str]:
    return {key for table in tables for key in table if len(key) == 2 and key != "is"}


def meanings(tables: dict[str, vocabulary.Table]) -> Iterator[tuple[str, str]]:
    """Each phrase, joined, with the table that it is in."""
    for name, table in tables.items():
        for key, words in table.items():
            if key not in ("is", "codes"):
                yield from ((" ".join(phrase), name) for word in words for phrase in spellings(word))


def test_the_chest_other_parts_and_laterals_have_words_in_every_language() -> None:
    others = [table for table in PARTS.values() if table["is"] == "other"]
    assert languages(PARTS["chest"]) >= LANGUAGES
    assert languages(*others) >= LANGUAGES
    assert languages(VIEWS["lateral"]) >= LANGUAGES


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_the_common_parts_have_words_in_every_language(language: str) -> None:
    common = ["abdomen", "spine", "head", "shoulder", "limb", "hand", "leg", "foot"]
    missing = [name for name in common if language not in PARTS[name]]
    assert missing == []


@pytest.mark.parametrize("tables", [PARTS, VIEWS], ids=["parts", "views"])
def test_no_phrase_means_two_things(tables: dict[str, vocabulary.Table]) -> None:
    found = defaultdict(set)
    for phrase, name in meanings(tables):
        found[phrase].add(tables[name].get("is", name))
    assert {phrase: kinds for phrase, kinds in found.items() if len(kinds) > 1} == {}


def test_no_word_of_a_view_is_one_of_another_part() -> None:
    """Both are searched for in the same descriptions."""
    others = set(vocabulary.vocabulary(SiteWords()).described.phrases)
    views = {
        phrase: word for phrase, word in vocabulary.vocabulary(SiteWords()).views.phrases.items() if word in list(View)
    }
    assert all("chest" in word or "orax" in word or "cxr" in word for (word, *_) in others & views.keys())


@pytest.mark.parametrize("cid", [4009, 4031])
def test_every_region_of_the_standard_is_known_in_both_codings(cid: int) -> None:
    standard = {
        code: name
        for name in cid_concepts[cid]["SCT"]
        for code, (_, cids) in concepts["SCT"][name].items()
        if cid in cids
    }
    assert {name for code, name in standard.items() if code not in PART_OF_CODE} == {"EntireBody"}  # says nothing
    older = {code: mapping["SCT"][code] for code in standard if code in mapping["SCT"] and code in PART_OF_CODE}
    assert len(older) > 90
    assert all(PART_OF_CODE[old] == PART_OF_CODE[code] for code, old in older.items())
    chests = {name for code, name in standard.items() if code in PART_OF_CODE and PART_OF_CODE[code].part is Part.CHEST}
    assert chests == {"Chest", "Heart", "Mediastinum"}


def test_a_code_is_in_one_table() -> None:
    codes = [code for table in PARTS.values() for code in table["codes"]]
    assert len(codes) == len(set(codes)) == len(PART_OF_CODE)


def test_no_single_letter_names_a_part() -> None:
    short = {phrase for phrase, _ in meanings(PARTS) if len(phrase) < 3 and phrase.isascii()}
    assert short == set()


def test_words_of_a_site_go_before_ours() -> None:
    site = SiteWords(chest=("Zimmer drei",), other_part=("chest",), ignored=("knee", "profil"), lateral=("ll2 xx",))
    words = vocabulary.vocabulary(site)
    assert words.described.read("drei Zimmer")[0] == []
    assert words.described.read("Zimmer drei")[0][0].part is Part.CHEST  # type: ignore[union-attr]
    assert words.examined.read("CHEST")[0][0].part is Part.OTHER  # type: ignore[union-attr]
    assert words.examined.read("KNEE") == ([None], [])
    assert words.views.read("Profil")[0] == [vocabulary.ViewNote.NOTHING]
    assert words.views.read("LL XX")[0] == [View.LATERAL]
