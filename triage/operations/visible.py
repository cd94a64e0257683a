"""PURE: text of other systems, made safe for a terminal."""

from __future__ import annotations

import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, what turns the direction of writing, lone surrogates, line ends


def visible(text: str) -> str:
    r"""Return ``text`` on one line, with control characters written as \\xdd, \\udddd or \\Udddddddd.

    General categories of Unicode (UAX 44). Backslashes stay, as the ones between several values of DICOM.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
