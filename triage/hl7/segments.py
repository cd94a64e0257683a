"""PURE: the segments of a message as peers write them: ended by CR, as HL7 v2.5.1 section 2.5 has it, by LF or both."""

from __future__ import annotations

_MARK = "\ufeff"


def segments_of(message: str) -> list[str]:
    """The segments of a message, without their ends.

    Whatever ends the first segment ends all of them: a line feed within a text of a message whose segments end with CR
    is text. What does not look like a segment, with a name and a delimiter behind it, is left out: it is the rest of a
    text that had a line end in it.
    """
    message = message.lstrip(_MARK + "\r\n ")
    end = "\r" if "\r" in message[: message.find("\n") + 1] or "\n" not in message else "\n"
    delimiter = message[3:4]
    lines = (line.strip("\r\n") for line in message.split(end))
    return [line for line in lines if _is_segment(line, delimiter)]


def _is_segment(line: str, delimiter: str) -> bool:
    name, behind = line[:3], line[3:4]
    return name.isascii() and name.isalnum() and name == name.upper() and behind in (delimiter, "")
