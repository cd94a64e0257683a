"""PURE: whether what somebody types names a patient."""

from __future__ import annotations

import re
import unicodedata

_BETWEEN = re.compile(r"[\s^=,]+")


def searchable(patient_id: str, name: str) -> str:
    """A patient's ID, and the components of all groups of the name (PN, PS3.5 6.2.1.1), one a line, to compare with."""
    return "\n".join(filter(None, (plain(part).strip() for part in (patient_id, *re.split(r"[\^=]", name)))))


def words(text: str) -> tuple[str, ...]:
    """What is looked for: each word has to occur in the ID or in a component of the name, in any order."""
    return tuple(filter(None, _BETWEEN.split(plain(text))))


def names(patient: str, looked_for: tuple[str, ...]) -> bool:
    """Whether every word occurs in what ``searchable`` made of a patient."""
    return bool(looked_for) and all(word in patient for word in looked_for)


def plain(text: str) -> str:
    """In one case, full width as half, without accents: who types MULLER finds Müller."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize(
        "NFC", "".join(each for each in apart if each in _VOICED or not unicodedata.combining(each))
    )


_VOICED = "\u3099\u309a"  # of kana these make another letter, not an accent
