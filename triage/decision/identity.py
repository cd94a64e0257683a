"""Identifiers and their issuers: numbers of two hospitals can be the same, so a number alone names no patient. Pure.

An issuer is HL7's HD (namespace, universal ID, its type): in DICOM Issuer of Patient ID (0010,0021) with its qualifiers
(0010,0024), and Issuer of Accession Number Sequence (0008,0051); in HL7 CX.4 and EI.2 to EI.4. A part that
one side does not state contradicts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations
from typing import Any, Self

_SEPARATOR = "&"
_DIGEST_LENGTH = 16  # characters of a digest


@dataclass(frozen=True)
class Issuer:
    """The issuer of an identifier; parts that are not stated are empty."""

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the issuer of a text made by ``str``: parts separated by ``&``, as in HL7. Extra parts are dropped."""
        parts = [part.strip() for part in text.split(_SEPARATOR)[:3]]
        return cls(*parts)

    def __str__(self) -> str:
        parts = (self.namespace, self.universal_id, self.universal_id_type)
        return _SEPARATOR.join(part.replace(_SEPARATOR, " ") for part in parts).rstrip(_SEPARATOR)

    def __bool__(self) -> bool:
        return bool(self.namespace or self.universal_id)

    def contradicts(self, other: Issuer) -> bool:
        """Return whether both are stated and differ: by their universal IDs where both have one, else by namespace."""
        if self.universal_id and other.universal_id and self._is_comparable(other):
            return self.universal_id.casefold() != other.universal_id.casefold()
        return bool(self.namespace and other.namespace) and self.namespace.casefold() != other.namespace.casefold()

    def _is_comparable(self, other: Issuer) -> bool:
        types = (self.universal_id_type.casefold(), other.universal_id_type.casefold())
        return types[0] == types[1] or not all(types)


@dataclass(frozen=True)
class PatientIdentifier:
    """A Patient ID or an Accession Number, and its issuer."""

    value: str
    issuer: Issuer = field(default_factory=Issuer)

    def may_be(self, other: PatientIdentifier) -> bool:
        """Return whether both can be the same: equal values, in any case, and issuers without contradiction."""
        return bool(self.value) and self._same_value(other) and not self.issuer.contradicts(other.issuer)

    def _same_value(self, other: PatientIdentifier) -> bool:
        return self.value.strip().casefold() == other.value.strip().casefold()


def any_may_be(ours: Iterable[PatientIdentifier], theirs: Sequence[PatientIdentifier]) -> bool:
    """Return whether one of our identifiers can be one of theirs; see ``PatientIdentifier.may_be``."""
    return any(each.may_be(other) for each in ours for other in theirs)


@dataclass(frozen=True)
class PatientMarks:
    """Digests of the identity of an object's patient, to compare patients without storing their names.

    ``identifiers``: digest and issuer of Patient ID and of Other Patient IDs. ``birth_date``: a digest, or empty.
    ``names``: for each component group of the name (alphabetic, ideographic, phonetic) the digests of its words.
    """

    identifiers: tuple[tuple[str, str], ...] = ()
    birth_date: str = ""
    names: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the marks in a JSON object."""
        return cls(
            identifiers=tuple((str(value), str(issuer)) for value, issuer in record.get("identifiers", ())),
            birth_date=str(record.get("birth_date", "")),
            names=tuple(tuple(map(str, words)) for words in record.get("names", ())),
        )


def identifiers_in(marks: PatientMarks) -> tuple[PatientIdentifier, ...]:
    """Return the identifiers of marks: the value of each is a digest, see ``mark``."""
    return tuple(PatientIdentifier(value, Issuer.from_text(issuer)) for value, issuer in marks.identifiers)


def mark(text: str) -> str:
    """Return the digest of a patient's value, without case and outer spaces; empty for an empty value."""
    value = text.strip().casefold()
    return sha256(f"cxr-triage patient\n{value}".encode()).hexdigest()[:_DIGEST_LENGTH] if value else ""


def contradiction(patients: Iterable[PatientMarks]) -> str:
    """Return the attribute by which objects are of different patients; empty if none contradicts."""
    distinct = list(dict.fromkeys(patients))
    return next(filter(None, (_contradiction(*pair) for pair in combinations(distinct, 2))), "")


def _contradiction(one: PatientMarks, other: PatientMarks) -> str:
    ours, theirs = (identifiers_in(each) for each in (one, other))
    agree = any_may_be(ours, theirs)
    if ours and theirs and not agree:
        return "Patient ID"
    if one.birth_date and other.birth_date:
        if one.birth_date != other.birth_date:
            return "Patient's Birth Date"
        if agree:  # a name has many spellings, and may have undeclared characters
            return ""
    return "Patient's Name" if _share_no_word(one.names, other.names) else ""


def _share_no_word(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> bool:
    """Return whether no component group that both names have has a word in common."""
    both = [(set(ours), set(theirs)) for ours, theirs in zip(one, other, strict=False) if ours and theirs]
    return bool(both) and not any(ours & theirs for ours, theirs in both)
