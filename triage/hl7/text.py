"""Text in HL7 v2: character sets, escaping, and names from DICOM (PN) to HL7 (XPN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SEGMENT_NAMES = ("priority", "accession_number", "placer", "filler", "study_instance_uid", "patient_id")
"""What a site's own segment may name in braces."""

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\r": " ", "\n": " "}


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
    "UTF-8": "UNICODE UTF-8",
    "UNICODE": "UNICODE UTF-8",
    "ISO IR87": _JAPANESE.name,
    "~ISO IR87": _JAPANESE.name,
}
"""Names that senders use beside those of table 0211."""
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
    """The character set of an HL7 name. Raises ValueError that lists them."""
    if name not in _BY_HL7_NAME:
        raise ValueError(f"character_set {name!r} is none of {', '.join(sorted(_BY_HL7_NAME))}")
    return _BY_HL7_NAME[name]


def of_dicom(specific_character_set: Sequence[str]) -> CharacterSet:
    """The HL7 counterpart of Specific Character Set (0008,0005), several values for code extensions.

    UTF-8 where HL7 has none, or one in which bytes of a character look like delimiters (GBK, GB18030).
    """
    numbers = [term.strip().rpartition(" ")[2] for term in specific_character_set]
    known = [_BY_DICOM_NUMBER.get(number or "6", UTF_8) for number in numbers]
    beyond_ascii = [each for each in known if each is not _ASCII]
    if not beyond_ascii:
        return _ASCII
    return beyond_ascii[0] if len(set(beyond_ascii)) == 1 else UTF_8


def encode(text: str, wanted: CharacterSet) -> tuple[bytes, CharacterSet]:
    """``text`` in ``wanted``; in UTF-8 where it has other characters. Returns what was taken."""
    try:
        return text.encode(wanted.codec), wanted
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace"), UTF_8


def escape(text: str) -> str:
    """``text`` as part of a field: delimiters by their escape sequences (HL7 v2.5.1 section 2.7), no line breaks."""
    return "".join(_ESCAPES.get(character, character) for character in text if character >= " " or character in "\r\n")


def fill_segment(template: str, values: Mapping[str, str]) -> str:
    """A segment from a site's template, whose {names} are replaced. Raises ValueError for an unknown name."""
    try:
        return template.format_map(values)
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"priority_segment: only {', '.join(f'{{{name}}}' for name in values)} are known") from error


def extended_person_name(person_name: str) -> str:
    """PN (PS3.5 6.2.1.1) as XPN: family, given, middle, then suffix before prefix; one repetition for each group."""
    groups = person_name.split("=")[:3]
    several = sum(bool(group.strip("^ ")) for group in groups) > 1
    names = [
        _name(group, code if several or code != "A" else "")
        for group, code in zip(groups, "AIP", strict=False)
        if group.strip("^ ")
    ]
    return "~".join(names)


def _name(group: str, representation: str) -> str:
    family, given, middle, prefix, suffix = [*(escape(part.strip()) for part in group.split("^")), *[""] * 5][:5]
    return "^".join([family, given, middle, suffix, prefix, "", "L", representation]).rstrip("^")


def decode(content: bytes, name: str) -> str:
    """A received message as text, by its MSH-18. Without one, UTF-8 or else Latin-1: both keep the delimiters.

    Raises ValueError for bytes beyond ASCII in a set that we do not know: a part of a character could look like a
    delimiter, and move what stands behind it.
    """
    if not name:
        return _guessed(content)
    known = _BY_HL7_NAME.get(name) or _BY_HL7_NAME.get(_ALSO_CALLED.get(name.upper(), ""))
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
