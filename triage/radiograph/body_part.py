"""PURE: part of the body that an image shows, by its attributes (docs/adr/0026)."""

from __future__ import annotations

from collections.abc import Iterable

from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.types import Attributes, Part
from triage.radiograph.vocabulary import PART_OF_CODE, NamedPart, PartWord, Vocabulary, vocabulary
from triage.radiograph.words import Lexicon

Kinds = frozenset[Part]
"""The kinds of parts that one text, or the codes, name; empty where they name none."""

_CHEST = frozenset({Part.CHEST})
_OTHER = frozenset({Part.OTHER})


def part_of(attributes: Attributes, policy: EligibilityPolicy, calling_ae_title: str = "") -> Part:
    """Return the part of the body that the attributes state.

    CHEST only if an attribute states it and none of the image contradicts it; OTHER only if Body Part Examined or
    Anatomic Region Sequence clearly state it and no description of the image names the chest. All else is UNKNOWN:
    nothing stated, unknown words, the chest together with another part, a contradiction. Study Description counts where
    no attribute of the image itself names a part, and a rule of the site (``policy``) where none does at all.
    """
    known = vocabulary(policy.words)
    examined = [kinds for kinds in (_examined(attributes, known), _coded(attributes)) if kinds]
    described = [kinds for text in attributes.descriptions if (kinds := _kinds(text, known.described))]
    if examined:
        return _confirmed(frozenset().union(*examined), described)
    of_study = _kinds(attributes.study_description, known.described)
    stated = frozenset().union(*described) or of_study
    if not stated and calling_ae_title in policy.chest_ae_titles:
        return Part.CHEST
    return Part.CHEST if stated == _CHEST else Part.UNKNOWN


def names_of_other_parts(attributes: Attributes, policy: EligibilityPolicy) -> list[str]:
    """Return the other parts that Body Part Examined and the codes name, in the words of our own list."""
    words, _ = vocabulary(policy.words).examined.read(attributes.body_part_examined)
    named = [*_named(words), *_of_codes([attributes.body_part_examined, *attributes.anatomy_codes])]
    return sorted({each.name for each in named if each.part is Part.OTHER})


def _confirmed(examined: Kinds, described: list[Kinds]) -> Part:
    """Return the examined part, UNKNOWN where a description of the image contradicts it."""
    if examined == _CHEST:
        return Part.CHEST if all(Part.CHEST in kinds for kinds in described) else Part.UNKNOWN
    if examined == _OTHER:
        return Part.UNKNOWN if any(Part.CHEST in kinds for kinds in described) else Part.OTHER
    return Part.UNKNOWN


def _examined(attributes: Attributes, known: Vocabulary) -> Kinds:
    """Return the parts in Body Part Examined (0018,0015); some systems write a code into it."""
    coded = _of_codes([attributes.body_part_examined])
    return _kinds_of(coded) if coded else _kinds(attributes.body_part_examined, known.examined)


def _coded(attributes: Attributes) -> Kinds:
    return _kinds_of(_of_codes(attributes.anatomy_codes))


def _of_codes(codes: Iterable[str]) -> list[NamedPart]:
    return [PART_OF_CODE[code] for code in codes if code in PART_OF_CODE]


def _kinds(text: str, words: Lexicon[PartWord]) -> Kinds:
    meanings, _ = words.read(text)
    return _kinds_of(_named(meanings))


def _named(words: Iterable[PartWord]) -> list[NamedPart]:
    return [word for word in words if word is not None]


def _kinds_of(parts: Iterable[NamedPart]) -> Kinds:
    return frozenset(part.part for part in parts)
