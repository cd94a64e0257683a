"""PURE: reader of acknowledgements (HL7 v2.5.1 section 2.9), as peers write them."""

from __future__ import annotations

from dataclasses import dataclass

from triage.hl7.segments import segments_of

_LONGEST_SHOWN = 400


@dataclass(frozen=True)
class Acknowledgement:
    """An acknowledgement: MSA-1, MSA-2, and MSA-3 with the ERR segments.

    ``control_id`` is that of the message which it acknowledges. ``text`` may name a patient.
    """

    code: str
    control_id: str
    text: str


def read_acknowledgement(message: bytes) -> Acknowledgement:
    """Read an acknowledgement. Raises ValueError for any other message."""
    segments = segments_of(message.decode("utf-8", "replace"))
    acknowledging = next((each for each in segments if each.startswith("MSA")), "")
    code, control_id, comment = [*acknowledging.split(acknowledging[3:4] or "|"), "", "", ""][1:4]
    if not code.strip():
        raise ValueError("not an acknowledgement")
    errors = [each for each in segments if each.startswith("ERR")]
    text = " ".join(filter(None, (comment, *errors)))
    return Acknowledgement(code.strip().upper(), control_id.strip(), shown(text.encode()))


def shown(message: bytes) -> str:
    """Return a message on one printable line of limited length, for the person who searches for the cause."""
    text = message[: 2 * _LONGEST_SHOWN].decode("utf-8", "replace").strip()
    line = "".join(each if each.isprintable() else " | " if each == "\r" else f"\\x{ord(each):02x}" for each in text)
    return line[:_LONGEST_SHOWN]
