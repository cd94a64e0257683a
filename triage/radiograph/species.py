"""PURE: detection of animals by Patient Species and Patient Breed (PS3.3 C.7.1.1)."""

from __future__ import annotations

from collections.abc import Iterable

from triage.radiograph.words import tokens

_HUMAN_CODES = frozenset({"337915000", "L-85B00", "9606", "C0086418"})  # in SNOMED CT, SNOMED RT, NCBI Taxonomy, UMLS
_HUMAN_WORDS = (
    "homo sapiens h human humans being humano humana humain humaine umano umana mens menselijk mensch mannisk manniska "
    "menneske czlowiek clovek человек людина insan ihminen ember om ανθρωπος انسان 人 人类 人類 人間 ヒト 사람 인간 "
    "patient person"
)
_HUMAN = frozenset(tokens(_HUMAN_WORDS))
_NOTHING = frozenset(tokens("none unknown na n a other unspecified undefined default not applicable null"))


def is_animal(species: Iterable[str], breed: Iterable[str]) -> bool:
    """Return whether a text or code names an animal: a species that is not known to be human, or a breed."""
    return any(_is_animal(text, _HUMAN) for text in species) or any(_is_animal(text, frozenset()) for text in breed)


def _is_animal(text: str, human: frozenset[str]) -> bool:
    if human and text in _HUMAN_CODES:
        return False
    words = set(tokens(text)) or {text}  # a code may have no letters
    return bool(text) and not words <= human | _NOTHING
