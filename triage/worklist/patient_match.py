"""Matches search words with patients. Pure."""

from __future__ import annotations

import re
import unicodedata

_BETWEEN = re.compile(r"[\s^=,]+")


def searchable(patient_id: str, name: str) -> str:
    """Return the text to search: Patient ID and name components (PN, PS3.5 6.2.1.1), one a line."""
    return "\n".join(filter(None, (plain(part).strip() for part in (patient_id, *re.split(r"[\^=]", name)))))


def words(text: str) -> tuple[str, ...]:
    """Return the words of a search. Each must occur in the ID or in a name component, in any order."""
    return tuple(filter(None, _BETWEEN.split(plain(text))))


def matches(patient: str, wanted: tuple[str, ...]) -> bool:
    """Return True if every word occurs in the text that ``searchable`` made of a patient."""
    return bool(wanted) and all(word in patient for word in wanted)


def plain(text: str) -> str:
    """Return the text case-folded, in half width and without accents: MULLER finds Müller."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize(
        "NFC", "".join(each for each in apart if each in _VOICED or not unicodedata.combining(each))
    )


_VOICED = "\u3099\u309a"  # marks of kana: they make another letter, and are no accents
