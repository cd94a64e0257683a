"""Text in HL7 v2: character sets, escaping, and names from DICOM (PN) to HL7 (XPN).

All parts of a message are ``Encoded`` in the end: ``escape`` makes one of a value, ``components`` and its siblings of
several, ``segment`` escapes values that are not escaped yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SEGMENT_NAMES = ("priority", "accession_number", "placer", "filler", "study_instance_uid", "patient_id")
"""Names that a site's own segment may have in braces."""

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_LINE_ENDS = "\u2028\u2029"  # line ends of Unicode (UAX 14) that are no control characters; some parsers split there
_LONGEST_NAME_PART = 194  # XPN.1 (HL7 v2.5.1 appendix 2.A): the longest of its components


class Encoded(str):
    """Text in a segment as it is sent: values escaped, delimiters meant as such."""

    __slots__ = ()


@dataclass(frozen=True)
class CharacterSet:
    """A character set of HL7 table 0211. ``name`` goes into MSH-18, ``scheme`` into MSH-20, ``codec`` is Python's."""

    name: str
    codec: str
    scheme: str = ""


UTF_8 = CharacterSet("UNICODE UTF-8", "utf-8")
_ASCII = CharacterSet("", "ascii")
_JAPANESE = CharacterSet("ASCII~ISO IR87", "iso2022_jp", "ISO 2022-1994")
_BY_HL7_NAME = {
    each.name: each
    for each in (
        UTF_8,
        CharacterSet("ASCII", "ascii"),
        *(CharacterSet(f"8859/{part}", f"iso8859_{part}") for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)),
        _JAPANESE,
        CharacterSet("KS X 1001", "euc_kr"),
        CharacterSet("GB 18030-2000", "gb18030"),
    )
}
_ALSO_CALLED = {
    "utf8": UTF_8,
    "unicode": UTF_8,
    "unicodeutf8": UTF_8,
    "usascii": _BY_HL7_NAME["ASCII"],
    "isoir87": _JAPANESE,
    "latin1": _BY_HL7_NAME["8859/1"],
    "gb18030": _BY_HL7_NAME["GB 18030-2000"],
    "gb2312": _BY_HL7_NAME["GB 18030-2000"],
    "euckr": _BY_HL7_NAME["KS X 1001"],
    "big5": CharacterSet("BIG-5", "big5"),
    "shiftjis": CharacterSet("SHIFT_JIS", "cp932"),
    **{f"{prefix}125{n}": CharacterSet("", f"cp125{n}") for prefix in ("windows", "cp") for n in range(9)},
    **{f"iso8859{part}": _BY_HL7_NAME[f"8859/{part}"] for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    **{f"8859{part}": _BY_HL7_NAME[f"8859/{part}"] for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}
"""Names that senders use instead of those of table 0211, by their letters and digits."""
_BY_DICOM_NUMBER = {
    "6": _ASCII,
    "100": _BY_HL7_NAME["8859/1"],
    "101": _BY_HL7_NAME["8859/2"],
    "109": _BY_HL7_NAME["8859/3"],
    "110": _BY_HL7_NAME["8859/4"],
    "144": _BY_HL7_NAME["8859/5"],
    "127": _BY_HL7_NAME["8859/6"],
    "126": _BY_HL7_NAME["8859/7"],
    "138": _BY_HL7_NAME["8859/8"],
    "148": _BY_HL7_NAME["8859/9"],
    "203": _BY_HL7_NAME["8859/15"],
    "87": _JAPANESE,
    "192": UTF_8,
}


def named(name: str) -> CharacterSet:
    """Return the character set of an HL7 name. Raises ValueError that lists them."""
    if name not in _BY_HL7_NAME:
        raise ValueError(f"character_set {name!r} is none of {', '.join(sorted(_BY_HL7_NAME))}")
    return _BY_HL7_NAME[name]


def of_dicom(specific_character_set: Sequence[str]) -> CharacterSet:
    """Return the HL7 counterpart of Specific Character Set (0008,0005), several values for code extensions.

    UTF-8 where HL7 has none, or one in which bytes of a character look like delimiters (GBK, GB18030).
    """
    numbers = [term.strip().rpartition(" ")[2] for term in specific_character_set]
    known = [_BY_DICOM_NUMBER.get(number or "6", UTF_8) for number in numbers]
    beyond_ascii = [each for each in known if each is not _ASCII]
    if not beyond_ascii:
        return _ASCII
    return beyond_ascii[0] if len(set(beyond_ascii)) == 1 else UTF_8


def encode(text: str, wanted: CharacterSet) -> tuple[bytes, CharacterSet]:
    """Encode ``text`` in ``wanted``, or in UTF-8 if it has other characters; return the set that was used, too."""
    try:
        return text.encode(wanted.codec), wanted
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace"), UTF_8


def escape(text: str, longest: int | None = None) -> Encoded:
    r"""Escape ``text`` as part of a field, cut to its first ``longest`` characters; an Encoded is returned unchanged.

    Delimiters become their escape sequences, control characters (up to U+001F, and U+007F) \\Xdd\\ (HL7 v2.5.1
    section 2.7), so that the receiver can restore the value. Line ends of Unicode, and controls from U+0080, have no
    escape sequence in every character set, and become a space.
    """
    if isinstance(text, Encoded):
        return text
    return Encoded("".join(map(_escaped, text[:longest])))


def _escaped(character: str) -> str:
    if character < " " or character == "\x7f":
        return f"\\X{ord(character):02X}\\"
    if "\x80" <= character <= "\x9f" or character in _LINE_ENDS:
        return " "
    return _ESCAPES.get(character, character)


def unescape(text: str, separators: str, escape_character: str) -> str:
    """Decode the escape sequences of a received value (HL7 v2.5.1 section 2.7).

    A formatting command becomes one blank; highlighting, other character sets and sequences of a site's own are left
    out. A character that begins no escape sequence stays.

    Args:
        text: The value.
        separators: Of segments, fields, repetitions, components and subcomponents, in this order.
        escape_character: As MSH-2 has it; empty for none.
    """
    delimiters = dict(zip("FRST", separators[1:], strict=False))
    known = {**delimiters, "E": escape_character}
    quoted = re.escape(escape_character)

    def decoded(sequence: re.Match[str]) -> str:
        name = sequence[1]
        if name.startswith("X"):
            return _of_hex(name[1:])
        return " " if name.startswith(".") else known.get(name, "")

    return re.sub(f"{quoted}([^{quoted}]*){quoted}", decoded, text) if escape_character else text


def _of_hex(digits: str) -> str:
    try:
        return bytes.fromhex(digits).decode("latin-1")
    except ValueError:
        return ""


def components(*texts: str) -> Encoded:
    """Return the components of a field, escaped; empty ones at the end are left out."""
    return _joined("^", texts)


def subcomponents(*texts: str) -> Encoded:
    """Return the subcomponents of a component, escaped; empty ones at the end are left out."""
    return _joined("&", texts)


def repetitions(*texts: str) -> Encoded:
    """Return the repetitions of a field, escaped."""
    return _joined("~", texts)


def segment(name: str, values: Mapping[int, str]) -> Encoded:
    """Return a segment of ``values`` by their number, as HL7 counts them; those not Encoded are escaped here."""
    first = 2 if name == "MSH" else 1  # MSH-1 is the delimiter behind the name
    last = max((number for number, value in values.items() if value), default=0)
    return Encoded("|".join([name, *(escape(values.get(number, "")) for number in range(first, last + 1))]))


def fill_segment(template: str, values: Mapping[str, str]) -> Encoded:
    """Return a segment from a site's template, whose {names} are replaced by the values, escaped.

    Raises ValueError for an unknown name.
    """
    try:
        return Encoded(template.format_map({name: escape(value) for name, value in values.items()}))
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"priority_segment: only {', '.join(f'{{{name}}}' for name in values)} are known") from error


def extended_person_name(person_name: str) -> Encoded:
    """Return a PN (PS3.5 6.2.1.1) as XPN: family, given, middle, suffix, prefix; one repetition for each group."""
    groups = person_name.split("=")[:3]
    several = sum(bool(group.strip("^ ")) for group in groups) > 1
    names = [
        _name(group, code if several or code != "A" else "")
        for group, code in zip(groups, "AIP", strict=False)
        if group.strip("^ ")
    ]
    return repetitions(*names)


def _name(group: str, representation: str) -> Encoded:
    parts = [escape(part.strip(), _LONGEST_NAME_PART) for part in group.split("^")]
    family, given, middle, prefix, suffix = [*parts, *[""] * 5][:5]
    return components(family, given, middle, suffix, prefix, "", "L", representation)


def _joined(delimiter: str, texts: Sequence[str]) -> Encoded:
    return Encoded(delimiter.join(map(escape, texts)).rstrip(delimiter))


def decode(content: bytes, name: str) -> str:
    """Decode a received message by its MSH-18. Without one, as UTF-8 or else Latin-1: both keep the delimiters.

    Raises ValueError for bytes beyond ASCII in an unknown set: a part of a character could look like a delimiter.
    """
    if not name:
        return _guessed(content)
    known = _BY_HL7_NAME.get(name) or _ALSO_CALLED.get("".join(filter(str.isalnum, name.casefold())))
    if known is not None:
        return content.decode(known.codec, "replace")
    if content.isascii():
        return content.decode("ascii")
    raise ValueError("the character set of MSH-18 is not one that we know, and the message is not ASCII")


def _guessed(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
