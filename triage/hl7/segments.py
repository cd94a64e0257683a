"""PURE: segments of a message as peers write them, ended by CR (HL7 v2.5.1 section 2.5), by LF or by both."""

from __future__ import annotations

_BYTE_ORDER_MARK = "\ufeff"


def segments_of(message: str) -> list[str]:
    """Return the segments of a message, without their ends.

    The end of the first segment is that of all: a line feed in a message whose segments end with CR is text. Lines
    without a segment name and a delimiter behind it are left out: they are the rest of a text that contains a line end.
    """
    message = message.lstrip(_BYTE_ORDER_MARK + "\r\n ")
    end = "\r" if "\r" in message[: message.find("\n") + 1] or "\n" not in message else "\n"
    delimiter = message[3:4]
    lines = (line.strip("\r\n") for line in message.split(end))
    return [line for line in lines if _is_segment(line, delimiter)]


def _is_segment(line: str, delimiter: str) -> bool:
    name, behind = line[:3], line[3:4]
    return name.isascii() and name.isalnum() and name == name.upper() and behind in (delimiter, "")
