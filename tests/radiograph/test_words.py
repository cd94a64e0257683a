"""Words in texts: folding, tokens, and what a lexicon finds in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.radiograph.words import Lexicon, fold, lexicon, spellings, tokens


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("CHEST", "chest"),
        ("Tórax", "torax"),
        ("ＣＨＥＳＴ　ＰＡ", "chest pa"),  # full width
        ("ﾎﾟｰﾀﾌﾞﾙ", fold("ポータブル")),  # half width
        ("Fuß", "fuss"),
        ("Göğüs", "gogus"),
        ("GÖĞÜS", "gogus"),
        ("akciğer", "akciger"),
        ("AKCİĞER", "akciger"),
        ("AKCIĞER", "akciger"),
        ("Żebra", "zebra"),
        ("płuca", "pluca"),
        ("hånd", "hand"),
        ("øvre", "ovre"),
        ("ΘΏΡΑΚΑΣ", fold("θώρακας")),
        ("Лёгкие", "легкие"),
        ("흉부", "흉부"),
        ("الصـــدر", "الصدر"),
    ],
)
def test_case_width_and_accents_do_not_matter(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CHEST_PA2", ["chest", "pa"]),
        ("Thorax p.a.", ["thorax", "p", "a"]),
        ("ThoraxPA", ["thorax", "pa"]),
        ("T-SPINE", ["t", "spine"]),
        ("[LOWER LEG         ]", ["lower", "leg"]),
        ("PA+LAT", ["pa", "and", "lat"]),
        ("胸部PA", ["胸部", "pa"]),
        ("흉부 정면", ["흉부", "정면"]),
        ("N/A", ["n", "a"]),
        ("²¿ 14x17", ["x"]),
        ("", []),
    ],
)
def test_what_parts_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_what_a_keyboard_lacks_is_written_in_two_ways() -> None:
    assert spellings("Schädel") == {("schadel",), ("schaedel",)}
    assert spellings("Hüfte rechts") == {("hufte", "rechts"), ("huefte", "rechts")}
    assert spellings("hånd") == {("hand",), ("haand",)}
    assert spellings("صدر") == {("صدر",), ("الصدر",)}
    assert spellings("-12-") == set()


WORDS: Lexicon[str] = lexicon(
    [
        ("thorax", "chest"),
        ("thoracic spine", "spine"),
        ("spine", "back"),
        ("胸部", "chest"),
        ("胸", "chest"),
        ("胸椎", "spine"),
        ("正面", "front"),
    ]
)


@pytest.mark.parametrize(
    ("text", "meanings", "rest"),
    [
        ("Thorax", ["chest"], []),
        ("Thoraxes", [], ["thoraxes"]),  # never by substring
        ("hemithorax", [], ["hemithorax"]),
        ("thoracic spine", ["spine"], []),  # the longer one, and no token twice
        ("thoracic  SPINE thorax", ["spine", "chest"], []),
        ("thoracic", [], ["thoracic"]),
        ("lumbar spine", ["back"], ["lumbar"]),
        ("胸部正面", ["chest", "front"], []),
        ("胸部側面", ["chest"], ["側", "面"]),
        ("胸椎", ["spine"], []),
        ("胸", ["chest"], []),
        ("胸正面", ["chest", "front"], []),
        ("胸膜", [], ["胸", "膜"]),  # a single character in a word that we do not know
    ],
)
def test_phrases_are_found_by_whole_tokens(text: str, meanings: list[str], rest: list[str]) -> None:
    assert WORDS.read(text) == (meanings, rest)


def test_the_last_of_entries_counts_and_each_before_those_it_builds_on() -> None:
    built = lexicon([("a b c d e f", "long"), ("thorax", "first"), ("THORAX", "second")], WORDS)
    assert built.read("thorax") == (["second"], [])
    assert built.read("spine") == (["back"], [])
    assert built.read("A.B.C.D.E.F") == (["long"], [])


@given(st.text(max_size=60))
def test_every_text_can_be_read_and_folding_it_again_changes_nothing(text: str) -> None:
    found, rest = WORDS.read(text)
    assert len(found) + len(rest) <= len(text) * 8
    assert fold(fold(text)) == fold(text)
    assert tokens(fold(text)) == tokens(text)
