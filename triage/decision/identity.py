"""PURE: identifiers and who issued them. Two hospitals' numbers collide: a number alone names no patient and no order.

An issuer is HL7's HD (namespace, universal ID, its type): in DICOM Issuer of Patient ID (0010,0021) with its qualifiers
(0010,0024), and Issuer of Accession Number Sequence (0008,0051); in HL7 CX.4 and EI.2 to EI.4. What one side does not
state contradicts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations
from typing import Any, Self

_SEPARATOR = "&"
_KEPT_CHARACTERS = 16  # of a digest


@dataclass(frozen=True)
class Issuer:
    """Who issued an identifier; parts that are not stated are empty."""

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The issuer that ``str`` made a text of: parts with ``&`` between them, as in HL7. Extra parts are dropped."""
        parts = [part.strip() for part in text.split(_SEPARATOR)[:3]]
        return cls(*parts)

    def __str__(self) -> str:
        parts = (self.namespace, self.universal_id, self.universal_id_type)
        return _SEPARATOR.join(part.replace(_SEPARATOR, " ") for part in parts).rstrip(_SEPARATOR)

    def __bool__(self) -> bool:
        return bool(self.namespace or self.universal_id)

    def contradicts(self, other: Issuer) -> bool:
        """Whether both are stated and are two: by their universal IDs where both have one, else by their names."""
        if self.universal_id and other.universal_id and self._is_comparable(other):
            return self.universal_id.casefold() != other.universal_id.casefold()
        return bool(self.namespace and other.namespace) and self.namespace.casefold() != other.namespace.casefold()

    def _is_comparable(self, other: Issuer) -> bool:
        types = (self.universal_id_type.casefold(), other.universal_id_type.casefold())
        return types[0] == types[1] or not all(types)


@dataclass(frozen=True)
class PatientIdentifier:
    """A Patient ID or an Accession Number, and who issued it."""

    value: str
    issuer: Issuer = field(default_factory=Issuer)

    def may_be(self, other: PatientIdentifier) -> bool:
        """Whether both can be one: the same value, in any case, and issuers that do not contradict each other."""
        return bool(self.value) and self._same_value(other) and not self.issuer.contradicts(other.issuer)

    def _same_value(self, other: PatientIdentifier) -> bool:
        return self.value.strip().casefold() == other.value.strip().casefold()


def any_may_be(ours: Iterable[PatientIdentifier], theirs: Sequence[PatientIdentifier]) -> bool:
    """Whether one of our identifiers can be one of theirs; see ``PatientIdentifier.may_be``."""
    return any(each.may_be(other) for each in ours for other in theirs)


@dataclass(frozen=True)
class PatientMarks:
    """What tells the patients of objects apart, as digests: to be compared, and not to be read.

    ``identifiers``: digest and issuer of Patient ID and of Other Patient IDs. ``birth_date``: a digest, or empty.
    ``names``: for each component group of the name (alphabetic, ideographic, phonetic) the digests of its words.
    """

    identifiers: tuple[tuple[str, str], ...] = ()
    birth_date: str = ""
    names: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The marks in a JSON object."""
        return cls(
            identifiers=tuple((str(value), str(issuer)) for value, issuer in record.get("identifiers", ())),
            birth_date=str(record.get("birth_date", "")),
            names=tuple(tuple(map(str, words)) for words in record.get("names", ())),
        )


def mark(text: str) -> str:
    """A value of a patient as it is compared; empty for an empty one."""
    value = text.strip().casefold()
    return sha256(f"cxr-triage patient\n{value}".encode()).hexdigest()[:_KEPT_CHARACTERS] if value else ""


def contradiction(patients: Iterable[PatientMarks]) -> str:
    """The attribute by which objects are of different patients; empty if nothing says that they are."""
    distinct = list(dict.fromkeys(patients))
    return next(filter(None, (_contradiction(*pair) for pair in combinations(distinct, 2))), "")


def _contradiction(one: PatientMarks, other: PatientMarks) -> str:
    ours, theirs = (_identifiers(each) for each in (one, other))
    agree = any_may_be(ours, theirs)
    if ours and theirs and not agree:
        return "Patient ID"
    if one.birth_date and other.birth_date:
        if one.birth_date != other.birth_date:
            return "Patient's Birth Date"
        if agree:  # a name is written in many ways, and in characters that nobody declared
            return ""
    return "Patient's Name" if _share_no_word(one.names, other.names) else ""


def _identifiers(marks: PatientMarks) -> list[PatientIdentifier]:
    return [PatientIdentifier(value, Issuer.from_text(issuer)) for value, issuer in marks.identifiers]


def _share_no_word(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> bool:
    """Of the component groups that both names have, none has a word in common."""
    both = [(set(ours), set(theirs)) for ours, theirs in zip(one, other, strict=False) if ours and theirs]
    return bool(both) and not any(ours & theirs for ours, theirs in both)
